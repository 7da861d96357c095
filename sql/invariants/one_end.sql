-- An execution that has ended has one event that says so, the last one; a live one has none.
select e.id, e.status from tenure.executions e
 where (select count(*) from tenure.events v where v.execution_id = e.id
           and v.kind in ('completed', 'failed', 'terminated', 'timed_out')) <> (e.ended_at is not null)::int
union all
select e.id, v.kind from tenure.executions e
  join tenure.events v on v.execution_id = e.id and v.kind in ('completed', 'failed', 'terminated', 'timed_out')
 where v.kind <> e.status
    or exists (select from tenure.events w where w.execution_id = e.id and w.seq > v.seq and w.kind <> 'result_refused')
