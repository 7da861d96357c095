-- What belongs to a run goes with it, and a run that was deleted is not there.
select 'event' as what, v.execution_id from tenure.events v
 where not exists (select from tenure.executions e where e.id = v.execution_id)
union all
select 'message', m.execution_id from tenure.messages m
 where not exists (select from tenure.executions e where e.id = m.execution_id)
union all
select 'task', t.execution_id from tenure.tasks t
 where not exists (select from tenure.executions e where e.id = t.execution_id)
union all
select 'result', r.execution_id from tenure.results r
 where not exists (select from tenure.executions e where e.id = r.execution_id)
union all
select 'queue', q.execution_id from tenure.queue q
 where not exists (select from tenure.executions e where e.id = q.execution_id)
union all
select 'inbox', i.execution_id from tenure.inbox i
 where not exists (select from tenure.executions e where e.id = i.execution_id)
union all
select 'approval', a.execution_id from tenure.approvals a
 where not exists (select from tenure.executions e where e.id = a.execution_id)
union all
select 'vote', v.execution_id from tenure.approval_votes v
 where not exists (select from tenure.executions e where e.id = v.execution_id)
union all
select 'run', d.id from tenure.deleted_runs d
  join tenure.executions e on e.id = d.id
