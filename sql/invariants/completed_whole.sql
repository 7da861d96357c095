-- Every task of a completed execution was accepted.
select t.execution_id, t.kind, t.turn, t.call from tenure.tasks t
  join tenure.executions e on e.id = t.execution_id and e.status = 'completed'
 group by 1, 2, 3, 4
having not exists (select from tenure.results r where r.execution_id = t.execution_id
                      and (r.kind, r.turn, r.call) = (t.kind, t.turn, t.call) and r.outcome in ('completed', 'gave_up'))
