-- Events are numbered from 1 without gaps, and the counter agrees.
select e.id, e.last_seq, x.many, x.newest from tenure.executions e
 cross join lateral (select count(*) as many, coalesce(max(seq), 0) as newest, min(seq) as oldest
                       from tenure.events v where v.execution_id = e.id) x
 where x.many <> x.newest or x.oldest is distinct from 1 or e.last_seq <> x.newest
