-- What became of attempts that are no longer in the queue.
--
-- Parameters, one array each: $1 execution, $2 attempt
-- Returns: id, outcome (null: it is still in the queue, but somebody else's), status of the execution. No row: nobody
-- knows it.
select t.id, r.outcome, e.status
  from unnest($1::uuid[], $2::uuid[]) as o (execution_id, attempt_id)
  join tenure.tasks t on t.execution_id = o.execution_id and t.id = o.attempt_id
  join tenure.executions e on e.id = t.execution_id
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
