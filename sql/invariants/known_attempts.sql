-- Nothing is queued or has a result that was never a task.
select q.execution_id, q.attempt_id from tenure.queue q
 where not exists (select from tenure.tasks t where t.execution_id = q.execution_id and t.id = q.attempt_id)
union all
select r.execution_id, r.attempt_id from tenure.results r
 where not exists (select from tenure.tasks t where t.execution_id = r.execution_id and t.id = r.attempt_id)
