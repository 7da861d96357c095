-- Lock executions $1 to decide about them, in id order, so that two servers can wait for but never block each other.
--
-- Returns: id, agent, version, status, context, priority, domains, is_replay
select id, agent, version, status, context, priority, domains, forked_as is not distinct from 'replay' as is_replay
  from tenure.executions
 where id = any($1::uuid[])
 order by id
   for no key update
