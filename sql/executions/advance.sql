-- Store what changed of locked executions.
--
-- Parameters, one array each: $1 id, $2 status, $3 reason, $4 context (null: as before), $5 output, $6 when it ended
update tenure.executions e
   set status   = n.status,
       reason   = n.reason,
       context  = coalesce(n.context, e.context),
       output   = n.output,
       ended_at = n.ended_at
  from unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::json[], $6::timestamptz[])
       as n (id, status, reason, context, output, ended_at)
 where e.id = n.id
