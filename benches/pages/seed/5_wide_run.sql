-- One completed run whose answer has bench.output bytes: in the model's result, and in the run's output.

create temp table wide as
select pg_temp.id_at(now() - interval '19 minutes', 'wide') as execution_id, now() - interval '19 minutes' as at,
       pg_temp.id_at(now() - interval '19 minutes', 'wide/1') as attempt_id,
       (select string_agg(md5(n::text), ' ') from generate_series(1, current_setting('bench.output')::integer / 33) n) as text;

insert into tenure.executions
       (id, agent, version, status, input, context, output, created_at, ended_at)
select execution_id, 'data_cleaner', 2, 'completed', '{"prompt":"Give back the whole table.","media":[]}',
       '{}',
       ('{"result":"' || text || '","finishReason":"STOP","context":{}}')::json, at, at + interval '9 s'
  from wide;

insert into tenure.tasks (execution_id, id, kind, turn, attempt, name, queue_id, input, created_at)
select execution_id, attempt_id, 'model', 1, 1, 'demo/echo', (select id from tenure.queues where name = 'tenure.model'),
       '{"upto":1}', at from wide;

insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, output, started_at, ended_at)
select execution_id, attempt_id, 'model', 1, 0, 'completed',
       ('{"text":"' || text || '","calls":[],"finish":"STOP","usage":{"prompt":10,"completion":3000000,"total":3000010}}')::json,
       at, at + interval '9 s' from wide;

insert into tenure.messages (execution_id, n, role, turn, attempt_id, at)
select execution_id, n, case n when 1 then 'user' else 'assistant' end, n - 1, case n when 2 then attempt_id end, at
  from wide, generate_series(1, 2) n;

insert into tenure.events (execution_id, seq, kind, attempt_id, at, state)
select execution_id, seq, kind, case when seq in (2, 3) then attempt_id end, at + make_interval(secs => seq - 1),
       case kind when 'completed'
            then '{"status":"completed","turn":1,"turn_limit":25,"open":[],"messages":2,"pass":1}'::json end
  from wide, unnest(array['started', 'model_called', 'model_replied', 'completed']) with ordinality as k (kind, seq);
