-- What there is to tell of a run that failed.
-- Returns: agent, status, reason, ended_at
select agent, status, reason, ended_at from tenure.executions where id = $1
