-- Attempts of a task are numbered from 1 without gaps.
select execution_id, kind, turn, call from tenure.tasks
 group by 1, 2, 3, 4 having count(*) <> max(attempt) or min(attempt) <> 1 or count(distinct attempt) <> count(*)
