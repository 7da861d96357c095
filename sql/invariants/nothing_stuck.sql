-- Nothing waits under an execution that has ended, and no live one waits for nothing.
select q.execution_id, e.status from tenure.queue q join tenure.executions e on e.id = q.execution_id where e.ended_at is not null
union all
select e.id, e.status from tenure.executions e
 where e.ended_at is null and not exists (select from tenure.queue q where q.execution_id = e.id)
