-- One execution.
-- Returns: id, agent, version, status, reason, input, context, output, last_seq, start_key, session_id, domains, priority,
--          created_at, updated_at, ended_at
select e.id, e.agent, e.version, e.status, e.reason, e.input, e.context, e.output, p.events as last_seq, e.start_key, e.session_id,
       e.domains, e.priority, e.created_at, p.at as updated_at, e.ended_at
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where e.id = $1
