-- The execution that a start key belongs to, or the one that this very start had made before its answer was lost.
--
-- Parameters: $1 agent, $2 start key, $3 id of the start
-- Returns: id, version (zero rows when the key has become free in the meantime)
select id, version
  from tenure.executions
 where (agent = $1 and start_key = $2 and status in ('running', 'paused', 'completed')) or id = $3
 order by id = $3
 limit 1
