-- The open attempt of a tool call or check by the name that the protocol knows it by.
-- Parameters: $1 execution, $2 turn, $3 call id or check's name
-- Returns: id
select t.id
  from tenure.queue q
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
 where q.execution_id = $1 and t.kind <> 'model' and t.turn = $2 and coalesce(t.call_id, t.name) = $3
