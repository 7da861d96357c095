-- One execution in pieces and as it was: what the pages of a run read, for psql as well.
--
--   timeline_page(id, from, to)       the part of the timeline between two event numbers, at a cost of that part only
--   conversation_page(id, from, to)   the part of the conversation between two message numbers, long texts cut
--   execution_as_of(id, n)            how the execution stood after event n, before the next one
--   attempts_as_of(id, n)             the same of its attempts
--
-- Nothing about the past is stored twice: events, results and messages are only ever appended with the time of the
-- transaction that decided them, so the past is what is not later. Events of one transaction have one time; those of
-- them that come after event n tell which rows of that very time came later, too.

-- What happened to an execution from event `first` to event `last`, oldest first.
create function tenure.timeline_page(execution uuid, first integer, last integer)
returns table (seq integer, at timestamptz, kind text, what text, task text, attempt integer, worker text, error text,
               attempt_id uuid)
language sql stable as $$
    select v.seq, v.at, v.kind,
           case v.kind
                when 'started'        then 'the run was accepted'
                when 'model_called'   then 'turn ' || t.turn || ': model ' || t.name || ' is asked'
                when 'model_replied'  then 'turn ' || t.turn || ': the model answered'
                                           || coalesce(' (' || r.completion_tokens || ' tokens)', '')
                when 'tool_called'    then 'turn ' || t.turn || ': tool ' || t.name || ' is called'
                when 'tool_returned'  then 'tool ' || t.name || ' returned'
                when 'tool_failed'    then 'tool ' || t.name || ' failed for good; the model is told'
                when 'call_refused'   then 'a call of ' || coalesce(v.data ->> 'name', 'a tool') || ' was answered at once'
                when 'check_called'   then 'worker ' || t.name || ' is asked whether to go on'
                when 'checked'        then case when v.data ->> 'go_on' = 'true' then 'the check said: go on'
                                                else 'the check said: stop' end
                when 'attempt_failed' then 'try ' || coalesce(t.attempt::text, '?') || ' of ' || coalesce(t.name, 'a task') || ' failed'
                                           || coalesce('; again in ' || (v.data ->> 'retry_in_secs') || ' s', '')
                when 'attempt_lost'   then 'try ' || coalesce(t.attempt::text, '?') || ' of ' || coalesce(t.name, 'a task')
                                           || ' was lost with its worker' || coalesce('; again in ' || (v.data ->> 'retry_in_secs') || ' s', '')
                when 'result_refused' then 'a result of ' || coalesce(t.name, 'a task') || ' came too late and was refused'
                when 'signalled'      then 'it was sent a word'
                when 'nudged'         then 'the model was reminded of what it had not done'
                when 'paused'         then 'paused by ' || coalesce(v.data ->> 'by', 'somebody')
                when 'resumed'        then 'resumed by ' || coalesce(v.data ->> 'by', 'somebody')
                when 'stop_requested' then coalesce(v.data ->> 'by', 'somebody') || ' asked it to end after this turn'
                when 'condensed'      then 'older messages were condensed (' || coalesce(v.data ->> 'before', '?') || ' to '
                                           || coalesce(v.data ->> 'after', '?') || ')'
                when 'completed'      then 'completed'
                when 'failed'         then 'failed'
                when 'terminated'     then 'terminated'
                when 'timed_out'      then 'its time was over'
                else replace(v.kind, '_', ' ') end,
           t.name, t.attempt, r.worker,
           coalesce(v.data ->> 'error', v.data ->> 'reason', case when v.kind in ('tool_failed', 'attempt_failed', 'attempt_lost') then r.error end),
           v.attempt_id
      from tenure.events v
      left join tenure.tasks t   on t.execution_id = v.execution_id and t.id = v.attempt_id
      left join tenure.results r on r.execution_id = v.execution_id and r.attempt_id = v.attempt_id
     where v.execution_id = execution and v.seq between first and last
     order by v.seq
$$;

-- All of it.
create or replace function tenure.timeline(execution uuid)
returns table (seq integer, at timestamptz, kind text, what text, task text, attempt integer, worker text, error text,
               attempt_id uuid)
language sql stable as $$
    select * from tenure.timeline_page(execution, 1, 2147483647)
$$;

-- The messages of an execution from number `first` to number `last`, oldest first. Texts and payloads are cut after
-- 16000 and 4000 characters; `bytes` says how long all of it is. What takes more than 4 MB to store is not looked into.
create function tenure.conversation_page(execution uuid, first integer, last integer)
returns table (n integer, at timestamptz, role text, turn integer, name text, text text, calls json, output text,
               bytes bigint, error text, prompt_tokens bigint, completion_tokens bigint, attempt_id uuid)
language sql stable as $$
    select m.n, m.at, m.role, m.turn, coalesce(m.name, t.name), left(said.whole, 16000), c.calls, left(o.whole, 4000),
           case when m.attempt_id is not null and r.output is not null and said.whole is null and o.whole is null
                then pg_column_size(r.output) else octet_length(coalesce(said.whole, o.whole)) end::bigint,
           left(r.error, 2000), r.prompt_tokens, r.completion_tokens, m.attempt_id
      from tenure.messages m
      left join tenure.tasks t   on t.execution_id = m.execution_id and t.id = m.attempt_id
      left join tenure.results r on r.execution_id = m.execution_id and r.attempt_id = m.attempt_id
      left join lateral (
            select case when m.content is not null then m.content
                        when m.role = 'user' then (select e.input ->> 'prompt' from tenure.executions e
                                                    where e.id = m.execution_id and pg_column_size(e.input) < 4000000)
                        when m.role = 'assistant' and pg_column_size(r.output) < 4000000 and json_typeof(r.output) = 'object'
                        then r.output ->> 'text' end as whole
            offset 0) said on true
      left join lateral (
            select r.output::text as whole where m.role = 'tool' and pg_column_size(r.output) < 4000000
            offset 0) o on true
      left join lateral (
            select json_agg(json_build_object('name', left(one.c ->> 'name', 200),
                                              'arguments', left((one.c -> 'arguments')::text, 2000)) order by one.place) as calls
              from json_array_elements(case when m.role = 'assistant' and pg_column_size(r.output) < 4000000
                                             and json_typeof(r.output -> 'calls') = 'array'
                                            then r.output -> 'calls' else '[]' end) with ordinality as one (c, place)
             where one.place <= 50) c on true
     where m.execution_id = execution and m.n between first and last
     order by m.n
$$;

-- Events of the transaction that wrote event `n` which come after it.
create function tenure.later_at_once(execution uuid, n integer)
returns table (seq integer, kind text, attempt_id uuid)
language sql stable as $$
    select v.seq, v.kind, v.attempt_id
      from tenure.events p
      join tenure.events v on v.execution_id = p.execution_id and v.seq > p.seq and v.seq <= p.seq + 5000 and v.at = p.at
     where p.execution_id = execution and p.seq = n
$$;

-- How an execution stood after event `n`, before the next one. No row when there is no such event.
create function tenure.execution_as_of(execution uuid, n integer)
returns table (id uuid, event integer, events integer, at timestamptz, kind text, agent text, version integer,
               status text, reason text, turn integer, messages integer, model_calls bigint, prompt_tokens bigint,
               completion_tokens bigint, started_at timestamptz, duration interval)
language sql stable as $$
    select e.id, p.seq, e.last_seq, p.at, p.kind, e.agent, e.version,
           coalesce(s.status, 'running'), s.reason, coalesce(m.turn, 0),
           coalesce((select max(g.n) from tenure.messages g where g.execution_id = e.id and g.at <= p.at), 0)
             - (select count(*) from tenure.later_at_once(execution, n) l
                 where l.kind in ('started', 'model_replied', 'tool_returned', 'tool_failed', 'call_refused', 'nudged',
                                  'signalled'))::integer,
           u.calls, u.prompt, u.completion, e.created_at, p.at - e.created_at
      from tenure.executions e
      join tenure.events p on p.execution_id = e.id and p.seq = n
      left join lateral (
            select case v.kind when 'resumed' then 'running' else v.kind end as status, v.data ->> 'reason' as reason
              from tenure.events v
             where v.execution_id = e.id and v.seq <= n
               and v.kind in ('paused', 'resumed', 'completed', 'failed', 'terminated', 'timed_out')
             order by v.seq desc
             limit 1) s on true
      left join lateral (
            select (v.data ->> 'turn')::integer as turn
              from tenure.events v
             where v.execution_id = e.id and v.seq <= n and v.kind = 'model_called'
             order by v.seq desc
             limit 1) m on true
     cross join lateral (
            select count(*) as calls, coalesce(sum(r.prompt_tokens), 0)::bigint as prompt,
                   coalesce(sum(r.completion_tokens), 0)::bigint as completion
              from tenure.results r
             where r.execution_id = e.id and r.kind = 'model' and r.outcome = 'completed' and r.ended_at <= p.at
               and (r.ended_at < p.at
                    or not exists (select from tenure.later_at_once(execution, n) l
                                    where l.attempt_id = r.attempt_id and l.kind = 'model_replied'))) u
     where e.id = execution
$$;

-- The attempts of an execution as they stood after event `n`, before the next one: columns as in tenure.task_status. What
-- was open is `leased` when somebody had it by then, else `ready`, or `held` while the execution was paused.
create function tenure.attempts_as_of(execution uuid, n integer)
returns table (execution_id uuid, attempt_id uuid, kind text, turn integer, call smallint, attempt integer, losses integer,
               name text, call_id text, queue text, domain text, status text, worker text, created_at timestamptz,
               run_at timestamptz, started_at timestamptz, ended_at timestamptz, error text, prompt_tokens bigint,
               completion_tokens bigint, retry_of uuid)
language sql stable as $$
    select s.execution_id, s.attempt_id, s.kind, s.turn, s.call, s.attempt, s.losses, s.name, s.call_id, s.queue, s.domain,
           case when was.over    then s.status
                when was.begun   then 'leased'
                when p.is_paused then 'held'
                else 'ready' end,
           case when was.begun or was.over then s.worker end,
           s.created_at, null::timestamptz,
           case when was.begun then s.started_at end,
           case when was.over then s.ended_at end,
           case when was.over then s.error end,
           case when was.over then s.prompt_tokens end,
           case when was.over then s.completion_tokens end,
           s.retry_of
      from (select v.at,
                   (select o.at from tenure.events o where o.execution_id = execution and o.seq = n + 1) as until,
                   e.ended_at <= v.at and not exists (
                        select from tenure.later_at_once(execution, n) l
                         where l.kind in ('completed', 'failed', 'terminated', 'timed_out')) as has_ended,
                   coalesce((select o.kind = 'paused' from tenure.events o
                              where o.execution_id = execution and o.seq <= n and o.kind in ('paused', 'resumed')
                              order by o.seq desc limit 1), false) as is_paused
              from tenure.events v
              join tenure.executions e on e.id = v.execution_id
             where v.execution_id = execution and v.seq = n
            offset 0) p
      join tenure.task_status s on s.execution_id = execution and s.created_at <= p.at
     cross join lateral (
            select case when s.status = 'withdrawn' then p.has_ended
                        else s.ended_at <= p.at and not exists (
                                select from tenure.later_at_once(execution, n) l
                                 where s.ended_at = p.at and l.attempt_id = s.attempt_id
                                   and l.kind in ('model_replied', 'tool_returned', 'checked', 'model_failed', 'tool_failed',
                                                  'check_failed', 'attempt_failed', 'attempt_lost')) end is true as over,
                   (s.started_at <= p.at or s.started_at < coalesce(p.until, 'infinity')) is true as begun
            offset 0) was
     where s.created_at < p.at
        or not exists (select from tenure.later_at_once(execution, n) l
                        where (l.attempt_id = s.attempt_id and l.kind in ('model_called', 'tool_called', 'check_called'))
                           or (l.attempt_id = s.retry_of and l.kind in ('attempt_failed', 'attempt_lost')))
$$;
