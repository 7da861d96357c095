-- Messages are numbered from 1 without gaps, and the state agrees.
select e.id from tenure.executions e
 cross join lateral (select count(*) as many, coalesce(max(n), 0) as newest from tenure.messages m where m.execution_id = e.id) x
  left join lateral tenure.progress(e.id) p on true
 where x.many <> x.newest or (p.state ->> 'messages')::int <> x.many
