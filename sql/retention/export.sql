-- Everything that is stored of execution $1, row by row: the execution first, then each kind in its order.
-- Returns: what it is a row of, and the row as JSON
select what, line
  from (select 1 as place, 0::bigint as n, 'executions' as what, row_to_json(e)::text as line
          from tenure.executions e where e.id = $1
        union all
        select 2, v.seq, 'events', row_to_json(v)::text from tenure.events v where v.execution_id = $1
        union all
        select 3, m.n, 'messages', row_to_json(m)::text from tenure.messages m where m.execution_id = $1
        union all
        select 4, row_number() over (order by t.created_at, t.id), 'tasks', row_to_json(t)::text
          from tenure.tasks t where t.execution_id = $1
        union all
        select 5, row_number() over (order by r.ended_at, r.attempt_id), 'results', row_to_json(r)::text
          from tenure.results r where r.execution_id = $1
        union all
        select 6, row_number() over (order by i.received_at, i.id), 'inbox', row_to_json(i)::text
          from tenure.inbox i where i.execution_id = $1
        union all
        select 7, l.n, 'task_logs', row_to_json(l)::text from tenure.task_logs l where l.execution_id = $1
        union all
        select 8, row_number() over (order by a.asked_at, a.id), 'approvals', row_to_json(a)::text
          from tenure.approvals a where a.execution_id = $1
        union all
        select 9, row_number() over (order by w.at, w.voter), 'approval_votes', row_to_json(w)::text
          from tenure.approval_votes w where w.execution_id = $1) x
 order by place, n
