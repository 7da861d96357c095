-- Events are numbered from 1 without gaps, and the newest says where the execution stands.
select e.id, x.many, x.newest from tenure.executions e
 cross join lateral (select count(*) as many, coalesce(max(seq), 0) as newest, min(seq) as oldest
                       from tenure.events v where v.execution_id = e.id) x
  left join lateral tenure.progress(e.id) p on true
 where x.many <> x.newest or x.oldest is distinct from 1 or p.state is null or e.status is distinct from p.state ->> 'status'
