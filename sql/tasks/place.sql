-- Where an attempt came from, for whoever reports on it. Parameters: $1 execution (null: unknown to the reporter), $2 attempt
-- Returns: execution_id, kind, name, domain, worker that has it (null: nobody)
select t.execution_id, t.kind, n.name, n.domain, w.name as worker
  from tenure.tasks t
  join tenure.queues n on n.id = t.queue_id
  left join tenure.queue q on q.execution_id = t.execution_id and q.attempt_id = t.id
  left join tenure.workers w on w.id = q.worker_id
 where t.id = $2 and ($1::uuid is null or t.execution_id = $1)
