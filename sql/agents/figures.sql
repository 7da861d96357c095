-- How the newest $2 runs of agent $1 went: always one row.
-- Returns: runs, live, ended, completed, last_run, median_secs, p95_secs, tokens, median_tokens, median_turns
-- Plan: a range of executions_by_agent.
select runs, live, ended, completed, last_run, extract(epoch from median_duration)::double precision as median_secs,
       extract(epoch from p95_duration)::double precision as p95_secs, tokens, median_tokens, median_turns
  from tenure.agent_figures($1, $2)
