-- Put message $3 with id $2 into the inbox of execution $1, when the execution is live and holds fewer than $4 that are
-- younger than a day.
--
-- Returns: status of the execution, and whether the message was taken (zero rows: nobody knows the execution)
-- The limit may be passed by as many messages as arrive in the same instant; it protects the disk, not a contract.
with target as (
    select e.id, e.status,
           (select count(*) from tenure.inbox i
             where i.execution_id = e.id and i.received_at > now() - interval '1 day') as held
      from tenure.executions e where e.id = $1
), pushed as (
    insert into tenure.inbox (execution_id, id, payload)
    select id, $2, $3::json from target where status in ('running', 'paused') and held < $4
    returning id
)
select status, exists (select from pushed) as taken from target
