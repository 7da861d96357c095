-- Executions $1 as lines of a list, newest first, each with the reason that matters most of those for which it waits.
--
-- Returns: id, agent, version, status, reason, prompt, result, turn, tokens, session_id, created_at, ended_at, code, text,
-- hint, reasons
-- Plan: the primary key for each id; reasons are looked up for live rows only. A large payload is not
-- touched: to take its beginning Postgres would read all of it, half a second for 100 MB.
select e.id, e.agent, e.version, e.status, left(e.reason, 500) as reason,
       case when pg_column_size(e.input) < 100000 then left(e.input ->> 'prompt', 400)
            else '(a large prompt; the page of the run has it)' end as prompt,
       case when pg_column_size(e.output) < 100000 then left(e.output ->> 'result', 400)
            when e.output is not null then '(a large answer; the page of the run has it)' end as result,
       coalesce((p.state ->> 'turn')::integer, 0) as turn,
       coalesce((p.state ->> 'prompt_tokens')::bigint, 0) + coalesce((p.state ->> 'completion_tokens')::bigint, 0) as tokens,
       left(e.session_id, 200) as session_id, e.created_at, e.ended_at, w.code, w.text, w.hint, w.reasons
  from tenure.executions e
  left join lateral tenure.progress(e.id) p on true
  left join lateral (
        select code, text, hint, count(*) over () as reasons
          from tenure.why_waiting y
         where y.execution_id = e.id
         order by case code when 'paused' then 0 when 'no_worker' then 1 when 'no_server' then 1 when 'queue_paused' then 1
                            when 'lost' then 2 when 'retry' then 2 when 'queued' then 4 else 3 end, since
         limit 1) w on e.status in ('running', 'paused')
 where e.id = any($1)
 order by e.id desc
