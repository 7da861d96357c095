-- The newest 1000 lines that workers logged about attempt $2 of execution $1, oldest first.
-- Returns: line, at
select line, at from (
    select n, line, at from tenure.task_logs where execution_id = $1 and attempt_id = $2 order by n desc limit 1000
) newest order by n
