-- How far an execution is stands in its newest event, and no longer in a row that every step updates.
--
--   events.state     where the engine stood after the last event of a commit; null in those before it
--   progress(id)     the newest event of an execution: its number, its time and that state
--
-- A step only appends, but for the queue. So a snapshot that somebody holds for long, such as a backup's, costs no step
-- anything: rows that were updated for each step could not be pruned meanwhile, and all their indexes grew with them.

alter table tenure.events add column state json;
do $$ begin
    alter table tenure.events alter column state set compression lz4;
exception when feature_not_supported then null;
end $$;

update tenure.events v
   set state = e.state
  from tenure.executions e
 where v.execution_id = e.id and v.seq = e.last_seq;

-- Leases that are over are a range for each worker; a heartbeat of a long call costs two index entries for that.
drop index tenure.queue_leased;
create index queue_leased on tenure.queue (worker_id, lease_until) where worker_id is not null;

create function tenure.progress(execution uuid) returns table (events integer, at timestamptz, state json)
language sql stable parallel safe as $$
    select v.seq, v.at, v.state from tenure.events v where v.execution_id = execution order by v.seq desc limit 1
$$;

drop view tenure.execution;

-- A run is paused from an event on, so that event says since when.
create or replace view tenure.why_work_waits as
select e.id as execution_id, 'paused' as code,
       'paused by ' || coalesce(p.data ->> 'by', 'somebody') || ' since ' || tenure.clock(coalesce(p.at, e.created_at)) as text,
       null::text as queue,
       coalesce(p.at, e.created_at) as since,
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
       case when n.paused_at is not null then 'queue_paused' when served.live then 'queued'
            when t.kind = 'model' then 'no_server' else 'no_worker' end,
       case when n.paused_at is not null
            then 'queue ' || tenure.queue_label(n.name, n.domain) || ' is paused by ' || n.paused_by || ' since '
                 || tenure.clock(n.paused_at) || coalesce(': ' || n.pause_reason, '')
            when served.live
            then '''' || t.name || ''' waits in queue ' || tenure.queue_label(n.name, n.domain) || ' behind '
                 || case when ahead.many > 1000 then 'more than 1000' else ahead.many::text end
                 || case when ahead.many = 1 then ' other' else ' others' end
            when t.kind = 'model'
            then 'no live server performs model calls (' || coalesce('last seen ' || tenure.clock(served.last_seen), 'never seen') || ')'
            else 'no live worker polls queue ' || tenure.queue_label(n.name, n.domain) || ' ('
                 || coalesce('last seen ' || tenure.clock(served.last_seen), 'never seen') || ')' end,
       n.name, q.run_at,
       case when n.paused_at is not null
            then 'resume it: tenure queue resume ' || tenure.shell_word(n.name)
                 || case when n.domain = '' then '' else ' --domain ' || tenure.shell_word(n.domain) end
            when served.live then null
            when t.kind = 'model' then 'start a server: tenure serve'
            when n.domain <> '' then 'start the program that started this run again; its workers poll this domain'
            else 'start a worker, such as: tenure worker --queue ' || tenure.shell_word(n.name) || ' -- COMMAND' end
  from tenure.queue q
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
  join tenure.queues n on n.id = q.queue_id
 cross join lateral tenure.queue_served(q.queue_id) served
  left join lateral (select count(*) as many from (
                select from tenure.queue o
                 where o.queue_id = q.queue_id and o.worker_id is null and not o.deferred
                   and (o.priority, o.run_at, o.attempt_id) < (q.priority, q.run_at, q.attempt_id)
                 limit 1001) o) ahead on served.live and n.paused_at is null
 where q.worker_id is null and not q.deferred
union all
select a.execution_id,
       case when a.decision is not null then 'decided' when a.kind = 'question' then 'question' else 'approval' end,
       case when a.decision is not null
            then 'the question about ''' || a.tool || ''' was ' || a.decision || ' by ' || a.decided_by
                 || '; a server takes notice of it soon'
            else case when a.kind = 'question' then 'waits for an answer of ' else 'waits for a decision of ' end
                 || coalesce('''' || a.of_group || '''', 'anybody') || ' on ''' || a.tool || ''' (turn ' || a.turn || ') since '
                 || tenure.clock(a.asked_at)
                 || case when a.quorum > 1
                         then '; ' || (select count(*) from tenure.approval_votes v
                                        where v.execution_id = a.execution_id and v.approval_id = a.id
                                          and v.round = a.round and v.vote = 'approve')
                              || ' of ' || a.quorum || ' approved' else '' end
                 || coalesce('; until ' || tenure.clock(a.expires_at) || ', then '
                             || case a.on_expiry when 'deny' then 'it is denied' when 'approve' then 'it is approved'
                                     else '''' || a.escalate_to || ''' is asked' end, '') end,
       null, coalesce(a.decided_at, a.asked_at),
       case when a.decision is not null then 'if it stays so, start a server: tenure serve'
            when a.kind = 'question' then 'answer it: tenure approvals answer ' || a.id || ' TEXT'
            else 'decide it: tenure approvals approve ' || a.id || ', or deny' end
  from tenure.approvals a
 where a.delivered_at is null;

create or replace function tenure.execution_as_of(execution uuid, n integer)
returns table (id uuid, event integer, events integer, at timestamptz, kind text, agent text, version integer,
               status text, reason text, turn integer, messages integer, model_calls bigint, prompt_tokens bigint,
               completion_tokens bigint, started_at timestamptz, duration interval)
language sql stable as $$
    select e.id, p.seq, b.events, p.at, p.kind, e.agent, e.version,
           coalesce(s.status, 'running'), s.reason, coalesce(m.turn, 0),
           coalesce((select max(g.n) from tenure.messages g where g.execution_id = e.id and g.at <= p.at), 0)
             - (select count(*) from tenure.later_at_once(execution, n) l
                 where l.kind in ('started', 'model_replied', 'tool_returned', 'tool_failed', 'call_refused', 'nudged',
                                  'signalled', 'approval_denied', 'approval_answered', 'advised'))::integer,
           u.calls, u.prompt, u.completion, least(e.created_at, o.at), p.at - least(e.created_at, o.at)
      from tenure.executions e
     cross join lateral tenure.progress(e.id) b
      join tenure.events p on p.execution_id = e.id and p.seq = n
      join tenure.events o on o.execution_id = e.id and o.seq = 1
      left join lateral (
            select case when v.kind in ('resumed', 'forked') then 'running' else v.kind end as status, v.data ->> 'reason' as reason
              from tenure.events v
             where v.execution_id = e.id and v.seq <= n
               and v.kind in ('paused', 'resumed', 'forked', 'completed', 'failed', 'terminated', 'timed_out')
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

create or replace function tenure.agent_figures(name text, newest integer)
returns table (runs bigint, live bigint, ended bigint, completed bigint, last_run timestamptz, median_duration interval,
               p95_duration interval, tokens bigint, median_tokens bigint, median_turns integer)
language sql stable as $$
    select count(*),
           (select count(*)
              from (select from tenure.executions l where l.agent = agent_figures.name and l.ended_at is null limit 1000) l),
           count(r.ended_at),
           count(*) filter (where r.status = 'completed'),
           max(r.created_at),
           percentile_cont(0.5)  within group (order by r.ended_at - r.created_at),
           percentile_cont(0.95) within group (order by r.ended_at - r.created_at),
           coalesce(sum(r.tokens), 0)::bigint,
           percentile_disc(0.5) within group (order by r.tokens) filter (where r.ended_at is not null),
           percentile_disc(0.5) within group (order by r.turn)   filter (where r.ended_at is not null)
      from (select e.status, e.created_at, e.ended_at, (p.state ->> 'turn')::integer as turn,
                   coalesce((p.state ->> 'prompt_tokens')::bigint, 0)
                   + coalesce((p.state ->> 'completion_tokens')::bigint, 0) as tokens
              from tenure.executions e
              left join lateral tenure.progress(e.id) p on true
             where e.agent = agent_figures.name
             order by e.id desc
             limit agent_figures.newest) r
$$;

create or replace function tenure.delete_runs(ids uuid[], by text default session_user, keep interval default '0', job uuid default null,
                                   events integer[] default null, exported_to text default null)
returns table (id uuid, why text) language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    gone uuid[];
    due  timestamptz := clock_timestamp() - delete_runs.keep;
begin
    select array_agg(f.id) into gone
      from (select e.id
              from unnest(delete_runs.ids, delete_runs.events) as n (id, events)
              join tenure.executions e on e.id = n.id
             where e.ended_at <= due
               and (n.events is null or n.events = (select p.events from tenure.progress(e.id) p))
               and not exists (select from tenure.executions f where f.forked_from = e.id and f.ended_at is null)
             order by e.id
               for update of e skip locked) f;
    insert into tenure.past_calls as p (hour, agent, model, is_counted, calls, prompt_tokens, cached_tokens, completion_tokens)
    select date_trunc('hour', r.ended_at, 'UTC'), e.agent, t.name, coalesce(r.prompt_tokens + r.completion_tokens, 0) > 0, count(*),
           coalesce(sum(r.prompt_tokens), 0), coalesce(sum(r.cached_tokens), 0), coalesce(sum(r.completion_tokens), 0)
      from unnest(gone) as n (id)
      join tenure.executions e on e.id = n.id
      join tenure.results r on r.execution_id = e.id
      join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
     where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null
     group by 1, 2, 3, 4
     order by 1, 2, 3, 4
        on conflict (hour, agent, model, is_counted) do update
       set calls = p.calls + excluded.calls, prompt_tokens = p.prompt_tokens + excluded.prompt_tokens,
           cached_tokens = p.cached_tokens + excluded.cached_tokens,
           completion_tokens = p.completion_tokens + excluded.completion_tokens;
    insert into tenure.deleted_runs (id, deleted_by, job, exported_to)
    select n.id, delete_runs.by, delete_runs.job, delete_runs.exported_to from unnest(gone) as n (id);
    delete from tenure.executions     e where e.id = any(gone);
    delete from tenure.messages       x where x.execution_id = any(gone);
    delete from tenure.tasks          x where x.execution_id = any(gone);
    delete from tenure.queue          x where x.execution_id = any(gone);
    delete from tenure.results        x where x.execution_id = any(gone);
    delete from tenure.events         x where x.execution_id = any(gone);
    delete from tenure.inbox          x where x.execution_id = any(gone);
    delete from tenure.task_logs      x where x.execution_id = any(gone);
    delete from tenure.approvals      x where x.execution_id = any(gone);
    delete from tenure.approval_votes x where x.execution_id = any(gone);
    return query
    select n.id,
           case when n.id = any(gone) then null
                when d.id is not null then 'it was deleted by ' || d.deleted_by || ' already'
                when e.id is null then 'there is no such run'
                when e.ended_at is null then 'a run that is ' || e.status || ' can''t be deleted; cancel it first'
                when f.id is not null then f.id || ' goes on from it and has not ended'
                else 'something else was done to it at the same time' end
      from unnest(delete_runs.ids) as n (id)
      left join tenure.executions e on e.id = n.id
      left join tenure.deleted_runs d on d.id = n.id
      left join lateral (select f.id from tenure.executions f
                          where f.forked_from = n.id and f.ended_at is null limit 1) f on true
     where (e.ended_at > due) is not true;
end $$;

alter table tenure.executions drop column state, drop column last_seq, drop column updated_at;

-- Subqueries rather than a join, so that whoever does not ask for them does not pay for them.
create view tenure.execution as
select e.id,
       e.agent,
       e.version,
       e.status,
       e.reason,
       e.input ->> 'prompt'                as prompt,
       e.output ->> 'result'               as result,
       (select (p.state ->> 'turn')::integer from tenure.progress(e.id) p)             as turn,
       e.session_id,
       e.start_key,
       e.domain,
       e.priority,
       e.created_at                        as started_at,
       (select p.at from tenure.progress(e.id) p)                                      as updated_at,
       e.ended_at,
       coalesce(e.ended_at, now()) - e.created_at as duration,
       e.deadline,
       (select (p.state ->> 'prompt_tokens')::bigint from tenure.progress(e.id) p)     as prompt_tokens,
       (select (p.state ->> 'completion_tokens')::bigint from tenure.progress(e.id) p) as completion_tokens,
       e.input,
       e.output,
       e.context,
       (select p.events from tenure.progress(e.id) p)                                  as events
  from tenure.executions e;
