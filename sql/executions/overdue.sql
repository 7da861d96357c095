-- Up to $1 executions whose time is over.
select id from tenure.executions
 where deadline < clock_timestamp() and ended_at is null
 order by deadline limit $1
