-- Store what was decided about locked executions.
--
-- Parameters, one array each: $1 id, $2 status, $3 reason, $4 state, $5 context (null: as before), $6 output,
-- $7 last seq, $8 time of the newest event, $9 whether it has ended
update tenure.executions e
   set status     = n.status,
       reason     = n.reason,
       state      = n.state,
       context    = coalesce(n.context, e.context),
       output     = n.output,
       last_seq   = n.last_seq,
       updated_at = n.at,
       ended_at   = case when n.ended then n.at end
  from unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::json[], $6::json[], $7::integer[],
              $8::timestamptz[], $9::boolean[])
       as n (id, status, reason, state, context, output, last_seq, at, ended)
 where e.id = n.id
