-- A call that needs an approval runs only after it was approved, and with the arguments that were approved.
select t.execution_id, t.id, t.name from tenure.tasks t
  join tenure.approvals a on (a.execution_id, a.turn, a.call) = (t.execution_id, t.turn, t.call) and t.kind = 'tool'
 where a.decision is distinct from 'approved' or t.created_at < a.decided_at
    or t.input::text <> coalesce(a.edited, a.arguments)::text
