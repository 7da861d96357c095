-- A page of the list of executions, newest first, each with the reason that matters most of those for which it waits.
-- A parameter that is null matches everything.
--
-- Parameters: $1 status, $2 agent, $3 id, $4 pattern in the input, the output, the session or the start key,
-- $5 only what started before this execution, $6 how many
-- Returns: id, agent, version, status, reason, prompt, result, turn, tokens, created_at, ended_at, code, text, hint, reasons
-- Plan: ids sort by time, so a page is a range of the primary key or of one of the indexes that end with it; reasons are
-- looked up for the page's live rows only.
select e.id, e.agent, e.version, e.status, left(e.reason, 500) as reason, left(e.input ->> 'prompt', 400) as prompt,
       left(e.output ->> 'result', 400) as result, (e.state ->> 'turn')::integer as turn,
       coalesce((e.state ->> 'prompt_tokens')::bigint, 0) + coalesce((e.state ->> 'completion_tokens')::bigint, 0) as tokens,
       e.created_at, e.ended_at, w.code, w.text, w.hint, w.reasons
  from (select *
          from tenure.executions
         where ($1::text is null or status = $1)
           and ($2::text is null or agent = $2)
           and ($3::uuid is null or id = $3)
           and ($4::text is null or input ->> 'prompt' ilike $4 or output ->> 'result' ilike $4 or input::text ilike $4
                or output::text ilike $4 or session_id ilike $4 or start_key ilike $4)
           and ($5::uuid is null or id < $5)
         order by id desc
         limit $6) e
  left join lateral (
        select code, text, hint, count(*) over () as reasons
          from tenure.why_waiting y
         where y.execution_id = e.id
         order by case code when 'paused' then 0 when 'no_worker' then 1 when 'no_server' then 1 when 'lost' then 2
                            when 'retry' then 2 when 'queued' then 4 else 3 end, since
         limit 1) w on e.status in ('running', 'paused')
 order by e.id desc
