-- What a fork of execution $1 begins with.
-- Returns: agent, version, status, input, priority, domains, last_seq, ended_at
select agent, version, status, input, priority, domains, last_seq, ended_at
  from tenure.executions where id = $1
