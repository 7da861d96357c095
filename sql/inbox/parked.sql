-- Calls of executions $1 that wait for a message, oldest first.
-- Returns: execution_id, attempt_id
select q.execution_id, q.attempt_id
  from tenure.queue q
  join tenure.queues n on n.id = q.queue_id and n.name = 'tenure.inbox'
 where q.execution_id = any($1::uuid[])
 order by q.attempt_id
