-- An attempt is either in the queue or has a result, never both and never neither.
select t.execution_id, t.id, t.kind, t.attempt from tenure.tasks t
  left join tenure.queue q   on q.execution_id = t.execution_id and q.attempt_id = t.id
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
 where (q.attempt_id is null) = (r.attempt_id is null)
