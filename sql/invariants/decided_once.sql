-- What was decided about a call reached its run once, and what was withdrawn never.
select a.execution_id, a.id, a.decision from tenure.approvals a
 cross join lateral (select count(*) as many from tenure.events v
                      where v.execution_id = a.execution_id
                        and v.kind in ('approval_approved', 'approval_denied', 'approval_answered')
                        and v.data ->> 'approval' = a.id::text) x
 where x.many > 1
    or (a.decision = 'withdrawn' and x.many > 0)
    or (a.decision is null and x.many > 0)
    or (a.decision <> 'withdrawn' and a.delivered_at is not null and x.many = 0
        and not exists (select from tenure.executions e where e.id = a.execution_id and e.ended_at <= a.delivered_at))
