-- What a fork of execution $1 begins with.
-- Returns: agent, version, status, input, priority, domains, last_seq, ended_at, is_replay
select agent, version, status, input, priority, domains, events as last_seq, ended_at,
       forked_as is not distinct from 'replay' as is_replay
  from tenure.executions e
 cross join lateral tenure.progress(e.id)
 where id = $1
