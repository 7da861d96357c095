-- The accepted attempt is the newest one, and its event was written once.
select r.execution_id, r.attempt_id, r.kind, t.attempt from tenure.results r
  join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
 where r.outcome in ('completed', 'gave_up')
   and (exists (select from tenure.tasks n
                 where n.execution_id = t.execution_id and (n.kind, n.turn, n.call) = (t.kind, t.turn, t.call) and n.attempt > t.attempt)
        or (r.outcome = 'completed'
            and (select count(*) from tenure.events v
                  where v.execution_id = r.execution_id and v.attempt_id = r.attempt_id
                    and v.kind in ('model_replied', 'tool_returned', 'checked')) <> 1))
