-- All attempts of execution $1 in the order of the run.
-- Returns: all of tenure.task_status, response_timeout_secs
select s.*, d.response_timeout_secs
  from tenure.task_status s
  left join tenure.task_defs d on d.name = s.name and s.kind <> 'model'
 where s.execution_id = $1
 order by s.turn, case s.kind when 'model' then 0 when 'tool' then 1 else 2 end, s.call, s.attempt
