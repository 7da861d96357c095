-- The oldest call of execution $1 that waits for a message.
-- Returns: name, turn, input (zero rows when none does)
select coalesce(t.call_id, t.name) as name, t.turn, t.input
  from tenure.queue q
  join tenure.queues n on n.id = q.queue_id and n.name = 'tenure.inbox'
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
 where q.execution_id = $1 and q.worker_id is null
 order by t.created_at, t.id
 limit 1
