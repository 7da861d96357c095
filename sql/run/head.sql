-- What every page of execution $1 begins with: no payload travels, and long texts are cut.
-- Returns: id, agent, version, status, reason, prompt (its beginning), turn, messages, last_seq, start_key, session_id,
-- created_at, updated_at, ended_at, deadline, priority, domain, forked_from, forked_at, forked_as
select id, agent, version, status, left(reason, 2000) as reason,
       case when pg_column_size(input) < 4000000 then left(input ->> 'prompt', 1000) end as prompt,
       coalesce((p.state ->> 'turn')::integer, 0) as turn, coalesce((p.state ->> 'messages')::integer, 0) as messages,
       p.events as last_seq, left(start_key, 500) as start_key, left(session_id, 500) as session_id, created_at, p.at as updated_at, ended_at,
       deadline, priority, domain, forked_from, forked_at, forked_as
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where id = $1
