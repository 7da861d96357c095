-- Delete the history of $1 runs that ended long ago.
-- Returns: how many events that were
with old as materialized (
    select id from tenure.executions where agent = 'bench_old' and ended_at is not null order by id limit $1
), events as (
    delete from tenure.events e using old where e.execution_id = old.id returning 1
), runs as (
    delete from tenure.executions e using old where e.id = old.id
)
select count(*) from events
