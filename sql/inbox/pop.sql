-- Give the oldest $3 messages of execution $1 to attempt $2; those older than a day are forgotten.
-- Returns: n, id, payload, received_at
with next as (
    select id from tenure.inbox
     where execution_id = $1 and taken_by is null and received_at > now() - interval '1 day'
     order by n
     limit $3
)
update tenure.inbox i
   set taken_by = $2
  from next
 where i.execution_id = $1 and i.id = next.id
returning i.n, i.id, i.payload, i.received_at
