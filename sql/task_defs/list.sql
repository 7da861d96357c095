-- All task definitions, by name.
-- Returns: definition
select definition from tenure.task_defs order by name
