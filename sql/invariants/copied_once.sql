-- Nothing that was copied is done again, and its result is the one of the original, as long as that is there.
select t.execution_id, t.id from tenure.tasks t
  join tenure.queue q on q.execution_id = t.execution_id and q.attempt_id = t.id
 where t.copy_of is not null
union all
select r.execution_id, r.attempt_id from tenure.results r
  join tenure.executions f on f.id = r.execution_id
 where r.copy_of is not null
   and exists (select from tenure.executions o where o.id = f.forked_from)
   and not exists (select from tenure.results o where o.execution_id = f.forked_from and o.attempt_id = r.copy_of
                      and (o.kind, o.turn, o.call, o.outcome) = (r.kind, r.turn, r.call, r.outcome))
