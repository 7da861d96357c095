-- Insert executions that have just been accepted, unless their start key is taken. Does nothing unless the transaction has
-- been opened, see queue/take.sql.
--
-- Parameters, one array each: $1 id, $2 agent, $3 version, $4 input, $5 state, $6 context, $7 start key,
-- $8 session id, $9 domains, $10 domain, $11 priority, $12 seconds until the deadline
-- Returns: id of each one that was inserted
insert into tenure.executions
       (id, agent, version, status, input, state, context, start_key, session_id, domains, domain, priority, deadline,
        created_at, updated_at)
select id, agent, version, 'running', input, state, context, start_key, session_id, domains, domain, priority,
       clock_timestamp() + make_interval(secs => timeout), clock_timestamp(), clock_timestamp()
  from unnest($1::uuid[], $2::text[], $3::integer[], $4::json[], $5::json[], $6::json[], $7::text[], $8::text[],
              $9::json[], $10::text[], $11::smallint[], $12::double precision[])
       as n (id, agent, version, input, state, context, start_key, session_id, domains, domain, priority, timeout)
 where not exists (select from tenure.executions e where e.id = n.id)   -- the same start again, after a lost answer
   and current_setting('tenure.deciding', true) = 'on'
    on conflict do nothing   -- a start key that is taken, or the same start again while its first transaction commits
returning id
