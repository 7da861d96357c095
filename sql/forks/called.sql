-- The event of execution $1 by which a task was called: its first attempt.
--
-- Parameters: $1 execution, $2 kind, $3 turn, $4 call
-- Returns: seq (zero rows when it never was)
select v.seq
  from tenure.tasks t
  join tenure.events v on v.execution_id = t.execution_id and v.attempt_id = t.id
                      and v.kind in ('model_called', 'tool_called', 'check_called')
 where t.execution_id = $1 and t.kind = $2 and t.turn = $3 and t.call = $4 and t.retry_of is null
 order by v.seq
 limit 1
