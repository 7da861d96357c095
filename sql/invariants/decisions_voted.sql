-- A decision has a vote of whoever made it, unless it was the clock or the end of the run.
select a.execution_id, a.id, a.decided_by from tenure.approvals a
 where a.decision is not null and a.decided_via not in ('clock', 'run')
   and not exists (select from tenure.approval_votes v
                    where v.execution_id = a.execution_id and v.approval_id = a.id and v.voter = a.decided_by)
