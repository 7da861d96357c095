-- Put message $2 with payload $3 into the inbox of execution $1, which is locked, when fewer than $4 that are younger than
-- a day wait there.
--
-- Does nothing unless the transaction has been opened (src/runtime/commit.rs).
-- Returns: id when it is in the inbox, also when it had been before its answer was lost
with pushed as (
    insert into tenure.inbox (execution_id, id, payload)
    select $1, $2, $3::json
     where (select count(*) from tenure.inbox i
             where i.execution_id = $1 and i.taken_by is null and i.received_at > now() - interval '1 day') < $4
       and current_setting('tenure.deciding', true) = 'on'
        on conflict do nothing
    returning id
)
select id from pushed
union
select id from tenure.inbox where execution_id = $1::uuid and id = $2::uuid
