-- What the runs with details did: a model call, a tool call, a second model call. One tool call in nine was lost once
-- with its worker. What is live waits in its tool: leased, ready behind a worker or without one, deferred, or held.

create temp table part as
select r.i, r.id as execution_id, r.at, r.ended_at, r.status, s.*,
       pg_temp.id_at(r.at + make_interval(secs => s.begins), 'part' || r.i || '/' || s.nth) as attempt_id,
       q.id as queue_id, q.name as queue
  from run r
 cross join lateral (values
       (1, 'model', 1, 1, 0.0, 0.9, 'completed'),
       (2, 'tool', 1, 1, 0.9, 1.1, 'lost'),
       (3, 'tool', 1, 2, 1.1, 1.3, 'completed'),
       (4, 'model', 2, 1, 1.3, 1.5, 'completed')) as s (nth, kind, turn, attempt, begins, ends, outcome)
  join tenure.queues q on q.name = case s.kind when 'model' then 'tenure.model'
       else (array['crm_lookup', 'search_orders', 'send_mail', 'read_document', 'query_warehouse', 'run_tests', 'web_fetch',
                   'legacy_export'])[1 + r.i % 8] end
 where r.has_details
   and (s.nth <> 2 or r.i % 9 = 0)
   and (s.nth <> 4 or r.ended_at is not null);
update part set attempt = 1 where nth = 3 and i % 9 <> 0;

insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, losses, name, call_id, queue_id, input, created_at)
select execution_id, attempt_id, kind, turn, 0, attempt, attempt - 1, case kind when 'model' then 'demo/echo' else queue end,
       case kind when 'tool' then 'call_' || i end, queue_id,
       case kind when 'model' then '{"upto":1}' else '{"customer":"c-' || i || '","window_minutes":15}' end::json,
       at + make_interval(secs => begins)
  from part order by i, nth;

insert into tenure.results
       (execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, started_at, ended_at, prompt_tokens,
        completion_tokens)
select p.execution_id, p.attempt_id, p.kind, p.turn, 0, p.outcome,
       case when p.outcome = 'lost' then null
            when p.kind = 'tool' then json_build_object('rows', p.i % 50, 'text', t.answer)
            when p.turn = 1 then json_build_object('text', '', 'calls', json_build_array(json_build_object(
                 'id', 'call_' || p.i, 'name', 'crm_lookup', 'arguments', json_build_object('customer', 'c-' || p.i))),
                 'finish', 'TOOL_CALLS', 'usage', json_build_object('prompt', 412, 'completion', 38, 'total', 450))
            else json_build_object('text', t.answer, 'calls', '[]'::json, 'finish', 'STOP',
                 'usage', json_build_object('prompt', 800, 'completion', 60, 'total', 860)) end,
       case p.outcome when 'lost' then 'worker vm-1:4002 fell silent: its lease ended' end,
       case p.kind when 'tool' then 'vm-' || 1 + p.i % 3 || ':' || 4000 + p.queue_id end,
       p.at + make_interval(secs => p.begins + 0.02), p.at + make_interval(secs => p.ends),
       case p.kind when 'model' then 412 end, case p.kind when 'model' then 38 end
  from part p
  join texts t on t.t = p.i % 2000
 where p.nth <> 3 or p.ended_at is not null
 order by p.i, p.nth;

insert into tenure.queue
       (execution_id, attempt_id, queue_id, run_at, deferred, worker_id, leased_at, lease_until, first_leased)
select p.execution_id, p.attempt_id, p.queue_id,
       case when p.status = 'paused' then 'infinity' when what = 'deferred' then now() + interval '1 day' else p.at end,
       p.status = 'paused' or what = 'deferred',
       case when what = 'leased' then w.id end, case when what = 'leased' then p.at end,
       case when what = 'leased' then now() + interval '1 day' end, case when what = 'leased' then p.at end
  from part p
 cross join lateral (select case when p.status = 'paused' then 'held' when p.i % 5 < 2 then 'leased'
                                 when p.i % 5 = 2 then 'deferred' else 'ready' end) as s (what)
  left join lateral (select w.id from tenure.workers w where w.queue_id = p.queue_id order by w.id limit 1) w on true
 where p.nth = 3 and p.ended_at is null and (what <> 'leased' or w.id is not null);
-- What nobody could lease, because its queue has no worker, is ready.
insert into tenure.queue (execution_id, attempt_id, queue_id, run_at)
select p.execution_id, p.attempt_id, p.queue_id, p.at
  from part p
 where p.nth = 3 and p.ended_at is null
   and not exists (select from tenure.queue q where q.execution_id = p.execution_id and q.attempt_id = p.attempt_id);

insert into tenure.messages (execution_id, n, role, turn, call, attempt_id, at)
select p.execution_id, m.n, m.role, m.turn, m.call, m.attempt_id, p.at
  from (select execution_id, i, at, min(ended_at) as ended_at,
               (array_agg(attempt_id order by nth))[1] as model, max(attempt_id::text) filter (where nth = 3) as tool,
               max(attempt_id::text) filter (where nth = 4) as answer
          from part group by execution_id, i, at) p
 cross join lateral (values (1, 'user', 0, null, null), (2, 'assistant', 1, null, p.model),
                            (3, 'tool', 1, 0, p.tool::uuid), (4, 'assistant', 2, null, p.answer::uuid))
       as m (n, role, turn, call, attempt_id)
 where m.n <= 2 or p.ended_at is not null
 order by p.i, m.n;

insert into tenure.events (execution_id, seq, kind, attempt_id, data, at)
select execution_id, row_number() over (partition by i order by at, ord), kind, attempt_id, data::json, at
  from (select execution_id, i, 0 as ord, 'started' as kind, null::uuid as attempt_id, null as data, at
          from part where nth = 1
        union all
        select execution_id, i, nth * 2, case kind when 'model' then 'model_called' else 'tool_called' end, attempt_id,
               '{"turn":' || turn || '}', at + make_interval(secs => begins)
          from part where nth <> 3 or i % 9 <> 0
        union all
        select execution_id, i, nth * 2 + 1,
               case when outcome = 'lost' then 'attempt_lost' when kind = 'model' then 'model_replied' else 'tool_returned' end,
               attempt_id, case outcome when 'lost' then '{"error":"worker fell silent","retry_in_secs":0}' end,
               at + make_interval(secs => ends)
          from part where nth <> 3 or ended_at is not null
        union all
        select execution_id, i, 10, case when status = 'paused' then 'paused' else status end, null,
               case status when 'paused' then '{"by":"ana"}' end, coalesce(ended_at, at + interval '2 seconds')
          from part where nth = 1 and status <> 'running') v
 order by i, at, ord;

-- Where a run stands is in its newest event, which is all that those without details have.
create temp table standing as
select r.id, coalesce(v.seq, 1) as seq, case when r.ended_at is null then 'started' else r.status end as kind,
       coalesce(r.ended_at, r.at + interval '2 seconds') as at,
       case when r.ended_at is null
            then ('{"status":"' || r.status || '","turn":1,"turn_limit":25,"open":[{"tool":{"turn":1,"call":0}}],'
                  || '"messages":2,"pass":1,"prompt_tokens":412,"completion_tokens":38}')::json
            else ('{"status":"' || r.status || '","turn":2,"turn_limit":25,"open":[],"messages":4,"pass":1,'
                  || '"prompt_tokens":' || 800 + r.i % 4000 || ',"completion_tokens":' || 60 + r.i % 500 || '}')::json end as state
  from run r
  left join (select execution_id, max(seq) as seq from tenure.events group by execution_id) v on v.execution_id = r.id;

insert into tenure.events (execution_id, seq, kind, at, state)
select id, seq, kind, at, state from standing order by at
    on conflict (execution_id, seq) do update set state = excluded.state;
