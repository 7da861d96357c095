-- One attempt by its own id.
-- Returns: all of tenure.task_status, response_timeout_secs, agent, version, context, priority, start_key
select s.*, d.response_timeout_secs, e.agent, e.version, e.context, e.priority, e.start_key
  from tenure.task_status s
  join tenure.executions e on e.id = s.execution_id
  left join tenure.task_defs d on d.name = s.name and s.kind <> 'model'
 where s.attempt_id = $1
