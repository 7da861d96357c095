-- The newest $2 runs of agent $1, newest first, each with the reason that matters most of those for which it waits.
-- Returns: id, version, status, reason, prompt, result, turn, tokens, created_at, ended_at, code, text
-- Plan: a range of executions_by_agent; reasons are looked up for live rows only.
select e.id, e.version, e.status, left(e.reason, 500) as reason, left(e.input ->> 'prompt', 400) as prompt,
       left(e.output ->> 'result', 400) as result, (p.state ->> 'turn')::integer as turn,
       coalesce((p.state ->> 'prompt_tokens')::bigint, 0) + coalesce((p.state ->> 'completion_tokens')::bigint, 0) as tokens,
       e.created_at, e.ended_at, w.code, w.text
  from (select * from tenure.executions where agent = $1 order by id desc limit $2) e
  left join lateral tenure.progress(e.id) p on true
  left join lateral (
        select code, text
          from tenure.why_waiting y
         where y.execution_id = e.id
         order by case code when 'paused' then 0 when 'no_worker' then 1 when 'no_server' then 1 when 'lost' then 2
                            when 'retry' then 2 when 'queued' then 4 else 3 end, since
         limit 1) w on e.status in ('running', 'paused')
 order by e.id desc
