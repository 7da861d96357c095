-- The definition of task $1.
-- Returns: definition
select definition from tenure.task_defs where name = $1
