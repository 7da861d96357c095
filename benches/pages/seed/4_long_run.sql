-- One live run with about 20,000 events over six hours: 2500 turns of a model call and three tool calls. One tool call
-- in a hundred was lost once with its worker. Its last tool call is leased for a day.

create temp table long as
select pg_temp.id_at(now() - interval '6 hours', 'long') as execution_id, now() - interval '6 hours' as at;

create temp table step as
select l.execution_id, t.turn, s.kind, s.call, s.attempt, s.outcome, s.begins, s.ends,
       pg_temp.id_at(s.begins, 'step' || t.turn || '/' || s.kind || s.call || '/' || s.attempt) as attempt_id
  from long l
 cross join (select turn, make_interval(secs => turn * 8.6) as after from generate_series(1, 2500) turn) t
 cross join lateral (
       select 'model', 0, 1, 'completed', l.at + t.after, l.at + t.after + interval '2 seconds'
       union all
       select 'tool', c, a, case when a = 2 or (t.turn * 3 + c) % 100 <> 0 then 'completed' else 'lost' end,
              l.at + t.after + make_interval(secs => 2 + a), l.at + t.after + make_interval(secs => 2 + a + 0.2 * (c + 1))
         from generate_series(0, 2) c, generate_series(1, 2) a
        where a = 1 or (t.turn * 3 + c) % 100 = 0) as s (kind, call, attempt, outcome, begins, ends);

insert into tenure.executions
       (id, agent, version, status, input, context, created_at)
select l.execution_id, 'log_analyst', 2, 'running',
       '{"prompt":"Read all logs of the last quarter, one file after the other, and keep a list of what is odd.","media":[]}',
       '{}', l.at
  from long l;

insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, losses, name, call_id, queue_id, input, created_at)
select s.execution_id, s.attempt_id, s.kind, s.turn, s.call, s.attempt, s.attempt - 1,
       case s.kind when 'model' then 'demo/echo' else 'step_through' end,
       case s.kind when 'tool' then 'call_' || s.turn || '_' || s.call end, q.id,
       case s.kind when 'model' then '{"upto":' || s.turn * 4 - 3 || '}'
                   else '{"file":"app-' || s.turn || '-' || s.call || '.log","lines":2000}' end::json, s.begins
  from step s
  join tenure.queues q on q.name = case s.kind when 'model' then 'tenure.model' else 'step_through' end
 order by s.begins;

insert into tenure.queue (execution_id, attempt_id, queue_id, run_at, worker_id, leased_at, lease_until, first_leased)
select s.execution_id, s.attempt_id, w.queue_id, s.begins, w.id, s.begins, now() + interval '1 day', s.begins
  from step s
  join lateral (select w.* from tenure.workers w join tenure.queues q on q.id = w.queue_id
                 where q.name = 'step_through' order by w.id limit 1) w on true
 where s.turn = 2500 and s.call = 2 and s.kind = 'tool';

insert into tenure.results
       (execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, started_at, ended_at, prompt_tokens,
        completion_tokens)
select s.execution_id, s.attempt_id, s.kind, s.turn, s.call, s.outcome,
       case when s.outcome = 'lost' then null
            when s.kind = 'tool' then json_build_object('odd', s.turn % 7 = 0, 'text', t.answer)
            else json_build_object('text', '', 'calls', (
                 select json_agg(json_build_object('id', 'call_' || s.turn || '_' || c, 'name', 'step_through', 'arguments',
                        json_build_object('file', 'app-' || s.turn || '-' || c || '.log'))) from generate_series(0, 2) c),
                 'finish', 'TOOL_CALLS', 'usage', json_build_object('prompt', 3400, 'completion', 48, 'total', 3448)) end,
       case s.outcome when 'lost' then 'worker vm-2:4010 fell silent: its lease ended' end,
       case s.kind when 'tool' then 'vm-' || 1 + s.turn % 3 || ':4010' end, s.begins, s.ends,
       case s.kind when 'model' then 3400 end, case s.kind when 'model' then 48 end
  from step s
  join texts t on t.t = s.turn % 2000
 where not (s.turn = 2500 and s.call = 2 and s.kind = 'tool')
 order by s.begins;

insert into tenure.messages (execution_id, n, role, turn, call, attempt_id, at)
select execution_id, row_number() over (order by turn, kind, call), role, turn, call, attempt_id, at
  from (select execution_id, 0 as turn, 'a' as kind, null::smallint as call, 'user' as role, null::uuid as attempt_id, at
          from long
        union all
        select execution_id, turn, case kind when 'model' then 'a' else 'b' end, case kind when 'tool' then call end,
               case kind when 'model' then 'assistant' else 'tool' end, attempt_id, ends
          from step where outcome = 'completed' and not (turn = 2500 and call = 2 and kind = 'tool')) m;

insert into tenure.events (execution_id, seq, kind, attempt_id, data, at)
select execution_id, row_number() over (order by at, ord), kind, attempt_id, data::json, at
  from (select execution_id, 0 as ord, 'started' as kind, null::uuid as attempt_id, null as data, at from long
        union all
        select execution_id, turn * 20 + call * 4, case kind when 'model' then 'model_called' else 'tool_called' end, attempt_id,
               '{"turn":' || turn || ',"call":' || call || ',"name":"step_through"}', begins
          from step where attempt = 1
        union all
        select execution_id, turn * 20 + call * 4 + attempt,
               case when outcome = 'lost' then 'attempt_lost' when kind = 'model' then 'model_replied' else 'tool_returned' end,
               attempt_id, case outcome when 'lost' then '{"error":"worker vm-2:4010 fell silent","retry_in_secs":0}' end, ends
          from step where not (turn = 2500 and call = 2 and kind = 'tool')) v;

update tenure.events v
   set state = '{"status":"running","turn":2500,"turn_limit":5000,"open":[{"tool":{"turn":2500,"call":2}}],"messages":10000,"pass":1,'
               '"prompt_tokens":8400000,"completion_tokens":120000}'
  from long l
 where v.execution_id = l.execution_id and v.seq = (select p.events from tenure.progress(l.execution_id) p);
