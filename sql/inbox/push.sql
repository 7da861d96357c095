-- Put message $2 with payload $3 into the inbox of execution $1, which is locked, when fewer than $4 that are younger than
-- a day wait there.
--
-- Does nothing unless the transaction has been opened (src/runtime/commit.rs).
-- Returns: is_new: false when it had been there before its answer was lost (zero rows when the inbox is full)
with pushed as (
    insert into tenure.inbox (execution_id, id, payload)
    select $1, $2, $3::json
     where (select count(*) from tenure.inbox i
             where i.execution_id = $1 and i.taken_by is null and i.received_at > now() - interval '1 day') < $4
       and current_setting('tenure.deciding', true) = 'on'
        on conflict do nothing
    returning id
)
select true as is_new from pushed
union all
select false from tenure.inbox where execution_id = $1::uuid and id = $2::uuid
