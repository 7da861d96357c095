-- Retention: finished runs that are old enough are deleted, by bulk jobs like any other.
--
--   retention_policies   which runs are kept for how long after their end; without any, all are kept
--   deleted_runs         one narrow row per run that is gone, for those who still have its id
--   past_calls           what model calls of deleted runs used, by hour, so that what was spent stays known
--
-- tenure.delete_runs(…) is the only way in which a run goes: as a whole, never while it lives. The database refuses to
-- delete anything else of it.

create table tenure.retention_policies (
    name      text        primary key check (length(name) between 1 and 100),
    filter    text        not null,                    -- in the words of the list: status:completed -agent:billing
    keep      interval    not null check (keep between interval '0' and interval '100 years'),
    export    boolean     not null default false,      -- write each run to a file before it goes
    set_at    timestamptz not null default clock_timestamp(),
    set_by    text        not null default session_user,
    looked_at timestamptz,                             -- when what is due was last looked for
    deleted   bigint      not null default 0,          -- so many runs went by it
    last_at   timestamptz                              -- the newest of them
);

alter table tenure.bulk_jobs
    drop constraint bulk_jobs_action_check,
    add constraint bulk_jobs_action_check
        check (action in ('pause', 'resume', 'stop', 'cancel', 'retry', 'restart', 'delete')),
    add column keep   interval not null default '0',   -- to delete: only runs that ended so long ago
    add column export boolean  not null default false, -- to delete: write each run to a file before
    add column policy text;                            -- the retention policy that began it

create or replace view tenure.bulk_job as
select j.id, j.action, j.filter, j.reason, j.started_by, j.rate, j.state, j.expected, j.matched, j.done, j.skipped, j.failed,
       j.note, w.name as server, j.created_at, j.updated_at, j.ended_at, j.ended_by,
       case when j.state = 'done' then 'all that matched were seen to'
            when j.state = 'cancelled' then 'cancelled by ' || coalesce(j.ended_by, 'somebody')
            when j.worker_id is null then 'waits for a server that takes it on'
            when j.lease_until < clock_timestamp() then 'its server is silent; another one takes it on'
            else 'goes on at ' || j.rate || ' runs a second' end as why,
       extract(epoch from j.keep)::float8 as keep_secs, j.export, j.policy
  from tenure.bulk_jobs j
  left join tenure.workers w on w.id = j.worker_id;

create table tenure.deleted_runs (
    id          uuid        primary key,
    deleted_at  timestamptz not null default clock_timestamp(),
    deleted_by  text        not null,
    job         uuid,                                  -- the bulk job, if it was one
    exported_to text                                   -- the file, in the directory of the server that wrote it
);
create index deleted_runs_by_time on tenure.deleted_runs (deleted_at);

create table tenure.past_calls (
    hour              timestamptz not null,
    agent             text        not null,
    model             text        not null,
    is_counted        boolean     not null,            -- whether the provider counted tokens
    calls             bigint      not null,
    prompt_tokens     bigint      not null,
    cached_tokens     bigint      not null,
    completion_tokens bigint      not null,
    primary key (hour, agent, model, is_counted)
);

create function tenure.refuse_to_delete_alive() returns trigger language plpgsql as $$
begin
    raise exception 'execution % is %; only what has ended can be deleted', old.id, old.status
        using errcode = 'check_violation', hint = 'Cancel it first.';
end $$;

create trigger what_lives_stays before delete on tenure.executions
    for each row when (old.ended_at is null) execute function tenure.refuse_to_delete_alive();

-- What people were asked and said stays as long as the run.
create function tenure.refuse_to_delete_without_run() returns trigger language plpgsql as $$
begin
    if exists (select from tenure.executions e where e.id = old.execution_id) then
        raise exception '% stay as long as their run', tg_table_name
            using errcode = 'check_violation', hint = 'tenure.delete_runs deletes finished runs as a whole.';
    end if;
    return old;
end $$;

drop trigger what_was_asked_stays on tenure.approvals;
create trigger what_was_asked_stays before truncate on tenure.approvals
    for each statement execute function tenure.refuse_to_rewrite();
create trigger what_was_asked_goes_with_its_run before delete on tenure.approvals
    for each row execute function tenure.refuse_to_delete_without_run();
drop trigger what_was_said_stays on tenure.approval_votes;
create trigger what_was_said_stays before update or truncate on tenure.approval_votes
    for each statement execute function tenure.refuse_to_rewrite();
create trigger what_was_said_goes_with_its_run before delete on tenure.approval_votes
    for each row execute function tenure.refuse_to_delete_without_run();

-- Delete those of these runs that ended `keep` ago or earlier, with all that belongs to them. `events` says, for each, how many
-- events the caller has seen of it: one with more is left. Nobody is waited for: what somebody else has locked is left, too.
--
-- Returns one row for each run that it is about: why it was left, or null when it is gone. No row for one that has not been
-- over for long enough.
create function tenure.delete_runs(ids uuid[], by text default session_user, keep interval default '0', job uuid default null,
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
               and coalesce(n.events, e.last_seq) = e.last_seq
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

-- What was spent stays known when the runs are gone: to the hour, at the price of its beginning.
create or replace view tenure.cost_by_day as
select u.day,
       u.agent,
       u.model,
       case when c.cost is not null then p.currency end as currency,
       sum(c.cost)                         as cost,
       sum(u.calls)::bigint                as calls,
       sum(u.prompt)::bigint               as prompt_tokens,
       sum(u.cached)::bigint               as cached_tokens,
       sum(u.completion)::bigint           as completion_tokens
  from (select (r.ended_at at time zone 'UTC')::date as day, e.agent, tenure.model_name(t.name) as model,
               max(r.ended_at) as at, count(*) as calls, sum(r.prompt_tokens) as prompt, sum(r.cached_tokens) as cached,
               sum(r.completion_tokens) as completion
          from tenure.results r
          join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
          join tenure.executions e on e.id = r.execution_id
         where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null
         group by (r.ended_at at time zone 'UTC')::date, e.agent, 3,
                  width_bucket(r.ended_at, (select tenure.price_changes())), r.prompt_tokens + r.completion_tokens > 0
        union all
        select (a.hour at time zone 'UTC')::date, a.agent, tenure.model_name(a.model), a.hour, a.calls, a.prompt_tokens,
               a.cached_tokens, a.completion_tokens
          from tenure.past_calls a) u
  left join lateral tenure.price_of(u.model, u.at) p on true
 cross join lateral tenure.cost_of(u.prompt, u.cached, u.completion, p.prompt, p.cached, p.completion) as c (cost)
 group by u.day, u.agent, u.model, 4;
