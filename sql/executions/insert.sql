-- Insert executions that have just been accepted, unless their start key is taken. Does nothing unless the transaction has
-- been opened, see queue/take.sql.
--
-- Parameters, one array each: $1 id, $2 agent, $3 version, $4 input, $5 context, $6 start key,
-- $7 session id, $8 domains, $9 domain, $10 priority, $11 seconds until the deadline
-- Returns: id of each one that was inserted
insert into tenure.executions
       (id, agent, version, status, input, context, start_key, session_id, domains, domain, priority, deadline, created_at)
select id, agent, version, 'running', input, context, start_key, session_id, domains, domain, priority,
       clock_timestamp() + make_interval(secs => timeout), clock_timestamp()
  from unnest($1::uuid[], $2::text[], $3::integer[], $4::json[], $5::json[], $6::text[], $7::text[], $8::json[],
              $9::text[], $10::smallint[], $11::double precision[])
       as n (id, agent, version, input, context, start_key, session_id, domains, domain, priority, timeout)
 where not exists (select from tenure.executions e where e.id = n.id)   -- the same start again, after a lost answer
   and current_setting('tenure.deciding', true) = 'on'
    on conflict do nothing   -- a start key that is taken, or the same start again while its first transaction commits
returning id
