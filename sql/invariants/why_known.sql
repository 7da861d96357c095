-- A live execution says what it waits for.
select e.id from tenure.executions e
 where e.ended_at is null and not exists (select from tenure.why_waiting w where w.execution_id = e.id)
