-- Every attempt at a tool call that a worker performs, and when the call's result was accepted. What was copied from
-- another run was performed there.
-- Returns: execution_id, attempt_id, turn, call, attempt, outcome, accepted_at, accepted_attempt
select t.execution_id, t.id as attempt_id, t.turn, t.call, t.attempt, r.outcome, a.ended_at as accepted_at,
       a.attempt_id as accepted_attempt
  from tenure.tasks t
  join tenure.queues n on n.id = t.queue_id and n.name <> 'tenure.inbox'
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
  left join tenure.results a on a.execution_id = t.execution_id and (a.kind, a.turn, a.call) = (t.kind, t.turn, t.call)
                            and a.outcome = 'completed'
 where t.kind = 'tool' and t.copy_of is null
