-- The execution that a start key belongs to.
--
-- Parameters: $1 agent, $2 start key
-- Returns: id, version (zero rows when the key is free)
select id, version
  from tenure.executions
 where agent = $1 and start_key = $2 and status in ('running', 'paused', 'completed')
