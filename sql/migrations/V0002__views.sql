-- What people ask with psql, and what the pages and `tenure why` show: views with stable columns.
--
--   execution      one row per execution, with what it costs so far
--   task_status    one row per attempt: what it is, where it stands, how it ended
--   queue_depth    one row per queue: how much waits, who works
--   why_waiting    one row per reason for which a live execution is not moving
--   timeline(id)   what happened to one execution, as sentences
--
-- Columns are only ever added at the end. Text that Postgres can't hold is swapped for private-use characters
-- (src/json.rs); everything else reads as it was sent.

-- A worker that was not heard of for longer than this, and holds nothing, is not there any more.
create function tenure.worker_patience() returns interval language sql immutable parallel safe as
$$ select interval '10 seconds' $$;

-- A time as sentences show it.
create function tenure.clock(at timestamptz) returns text language sql stable parallel safe as
$$ select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' $$;

create view tenure.execution as
select e.id,
       e.agent,
       e.version,
       e.status,
       e.reason,
       e.input ->> 'prompt'                as prompt,
       e.output ->> 'result'               as result,
       (e.state ->> 'turn')::integer       as turn,
       e.session_id,
       e.start_key,
       e.domain,
       e.priority,
       e.created_at                        as started_at,
       e.updated_at,
       e.ended_at,
       coalesce(e.ended_at, now()) - e.created_at as duration,
       e.deadline,
       (e.state ->> 'prompt_tokens')::bigint     as prompt_tokens,
       (e.state ->> 'completion_tokens')::bigint as completion_tokens,
       e.input,
       e.output,
       e.context,
       e.last_seq                          as events
  from tenure.executions e;

create view tenure.task_status as
select t.execution_id,
       t.id                                as attempt_id,
       t.kind,
       t.turn,
       t.call,
       t.attempt,
       t.losses,
       t.name,
       t.call_id,
       n.name                              as queue,
       n.domain,
       case when r.outcome is not null           then r.outcome
            when q.attempt_id is null            then 'unknown'
            when q.worker_id is not null         then 'leased'
            when q.run_at = 'infinity'           then 'held'
            when q.deferred                      then 'deferred'
            else 'ready' end               as status,
       coalesce(r.worker, w.name)          as worker,
       coalesce(r.polls, q.polls, 0)       as polls,
       t.created_at,
       nullif(q.run_at, 'infinity')        as run_at,
       q.leased_at,
       q.lease_until,
       coalesce(r.started_at, q.first_leased) as started_at,
       r.ended_at,
       r.error,
       r.prompt_tokens,
       r.completion_tokens,
       t.retry_of,
       t.input,
       r.output
  from tenure.tasks t
  join tenure.queues n on n.id = t.queue_id
  left join tenure.queue q   on q.execution_id = t.execution_id and q.attempt_id = t.id
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
  left join tenure.workers w on w.id = q.worker_id;

create view tenure.queue_depth as
select n.name                              as queue,
       n.domain,
       coalesce(c.ready, 0)                as ready,
       coalesce(c.leased, 0)               as leased,
       coalesce(c.deferred, 0)             as deferred,
       coalesce(c.held, 0)                 as held,
       c.oldest_ready,
       coalesce(w.live, 0)                 as live_workers,
       w.last_seen
  from tenure.queues n
  left join (select queue_id,
                    count(*) filter (where worker_id is null and not deferred)               as ready,
                    count(*) filter (where worker_id is not null)                            as leased,
                    count(*) filter (where deferred and run_at <  'infinity')                as deferred,
                    count(*) filter (where deferred and run_at =  'infinity')                as held,
                    min(run_at) filter (where worker_id is null and not deferred)            as oldest_ready
               from tenure.queue group by queue_id) c on c.queue_id = n.id
  left join lateral (
             select count(*) filter (where w.seen_at > now() - tenure.worker_patience()
                                        or exists (select from tenure.queue q
                                                    where q.worker_id = w.id and q.lease_until > now())) as live,
                    max(w.seen_at) as last_seen
               from tenure.workers w where w.queue_id = n.id) w on true;

-- Who polls a queue: whether anybody does now, and when somebody last did.
create function tenure.queue_served(queue integer, out live boolean, out last_seen timestamptz)
language sql stable as $$
    select coalesce(bool_or(w.seen_at > now() - tenure.worker_patience()
                            or exists (select from tenure.queue q where q.worker_id = w.id and q.lease_until > now())), false),
           max(w.seen_at)
      from tenure.workers w where w.queue_id = queue
$$;

-- A queue as sentences name it.
create function tenure.queue_label(name text, domain text) returns text language sql immutable parallel safe as
$$ select '''' || name || '''' || case when domain = '' then '' else ' in domain ''' || domain || '''' end $$;

-- One row per reason. `hint` says what somebody could do about it; null when nothing needs doing.
create view tenure.why_waiting as
select e.id as execution_id, 'paused' as code,
       'paused by ' || coalesce(p.data ->> 'by', 'somebody') || ' since ' || tenure.clock(coalesce(p.at, e.updated_at)) as text,
       null::text as queue,
       coalesce(p.at, e.updated_at) as since,
       'resume it: tenure agent resume ' || e.id as hint
  from tenure.executions e
  left join lateral (select v.at, v.data from tenure.events v
                      where v.execution_id = e.id and v.kind = 'paused' order by v.seq desc limit 1) p on true
 where e.status = 'paused'
union all
select q.execution_id,
       case when t.kind = 'model' then 'model_running' else 'leased' end,
       case when t.kind = 'model'
            then 'the call of model ''' || t.name || ''' (turn ' || t.turn || ') runs on server ' || w.name || ' since '
                 || tenure.clock(q.leased_at)
            else 'worker ' || w.name || ' has ''' || t.name || ''' since ' || tenure.clock(q.leased_at)
                 || '; its lease lasts until ' || tenure.clock(q.lease_until) end
       || case when t.attempt > 1 then ' (try ' || t.attempt || ')' else '' end,
       n.name, q.leased_at, null
  from tenure.queue q
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
  join tenure.queues n on n.id = q.queue_id
  join tenure.workers w on w.id = q.worker_id
union all
select q.execution_id,
       case when q.polls > 0 then 'called_back' when r.outcome = 'lost' then 'lost' else 'retry' end,
       case when q.polls > 0
            then 'the worker of ''' || t.name || ''' asked to see it again at ' || tenure.clock(q.run_at)
            when r.outcome = 'lost'
            then '''' || t.name || ''' runs again at ' || tenure.clock(q.run_at) || ' because its worker was lost ('
                 || t.losses || ' so far)' || coalesce(': ' || left(r.error, 500), '')
            else 'retry ' || greatest(t.attempt - 1 - t.losses, 1) || ' of '
                 || case when t.kind = 'model' then 20 when d.retries_given then d.retry_count else 2 end
                 || ' of ''' || t.name || ''' at ' || tenure.clock(q.run_at)
                 || coalesce(' because: ' || left(r.error, 500), '') end,
       n.name, coalesce(r.ended_at, t.created_at), null
  from tenure.queue q
  join tenure.executions e on e.id = q.execution_id and e.status = 'running'
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
  join tenure.queues n on n.id = q.queue_id
  left join tenure.task_defs d on d.name = t.name and t.kind <> 'model'
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.retry_of
 where q.deferred and q.run_at < 'infinity'
union all
select q.execution_id,
       case when served.live then 'queued' when t.kind = 'model' then 'no_server' else 'no_worker' end,
       case when served.live
            then '''' || t.name || ''' waits in queue ' || tenure.queue_label(n.name, n.domain) || ' behind '
                 || case when ahead.many > 1000 then 'more than 1000' else ahead.many::text end
                 || case when ahead.many = 1 then ' other' else ' others' end
            when t.kind = 'model'
            then 'no live server performs model calls (' || coalesce('last seen ' || tenure.clock(served.last_seen), 'never seen') || ')'
            else 'no live worker polls queue ' || tenure.queue_label(n.name, n.domain) || ' ('
                 || coalesce('last seen ' || tenure.clock(served.last_seen), 'never seen') || ')' end,
       n.name, q.run_at,
       case when served.live then null
            when t.kind = 'model' then 'start a server: tenure serve'
            when n.domain <> '' then 'start the program that started this run again; its workers poll this domain'
            else 'start a worker, such as: tenure worker --queue ' || n.name || ' -- COMMAND' end
  from tenure.queue q
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
  join tenure.queues n on n.id = q.queue_id
 cross join lateral tenure.queue_served(q.queue_id) served
  left join lateral (select count(*) as many from (
                select from tenure.queue o
                 where o.queue_id = q.queue_id and o.worker_id is null and not o.deferred
                   and (o.priority, o.run_at, o.attempt_id) < (q.priority, q.run_at, q.attempt_id)
                 limit 1001) o) ahead on served.live
 where q.worker_id is null and not q.deferred;

-- What happened to an execution, oldest first.
create function tenure.timeline(execution uuid)
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
     where v.execution_id = execution
     order by v.seq
$$;
