-- The names of workers $1.
-- Returns: id, name
select id, name from tenure.workers where id = any($1::bigint[])
