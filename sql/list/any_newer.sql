-- Ids of executions from $1 to below $2, oldest first, at most $3.
-- Returns: id
-- Plan: a range of the primary key.
select id
  from tenure.executions
 where id >= $1
   and id < $2
 order by id
 limit $3
