-- One execution.
-- Returns: id, agent, version, status, reason, input, context, output, last_seq, start_key, session_id, domains, priority,
--          created_at, updated_at, ended_at
select id, agent, version, status, reason, input, context, output, last_seq, start_key, session_id, domains, priority,
       created_at, updated_at, ended_at
  from tenure.executions
 where id = $1
