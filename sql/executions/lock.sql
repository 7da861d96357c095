-- Lock executions $1 to decide about them, in id order, so that two servers can wait for but never block each other.
--
-- Returns: id, agent, version, state, context, priority, last_seq, domains, is_replay, updated_at, now
-- `now` is read after the lock was got; an event's time is the later of it and `updated_at`, so time never runs
-- backwards inside an execution.
select id, agent, version, state, context, priority, last_seq, domains, forked_as is not distinct from 'replay' as is_replay,
       updated_at, clock_timestamp() as now
  from tenure.executions
 where id = any($1::uuid[])
 order by id
   for no key update
