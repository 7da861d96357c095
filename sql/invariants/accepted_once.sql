-- A task is accepted once, however many attempts it takes.
select execution_id, kind, turn, call, count(*) from tenure.results
 where outcome in ('completed', 'gave_up') group by 1, 2, 3, 4 having count(*) > 1
