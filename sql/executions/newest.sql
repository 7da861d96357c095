-- The newest event of executions $1.
select id, last_seq from tenure.executions where id = any($1::uuid[])
