-- Queues that people pause, how queues were served over the last week, and who has left.
--
--   queues.paused_at …       while it is set, nothing of the queue is handed out
--   queue_changes            who paused or resumed which queue, when and why; appended, never changed
--   queue_stats              how many attempts began and failed per queue and period, and how long they had waited
--   workers.draining_since   a server that takes no new work any more
--   workers.lost_at          when attempts were last lost with a worker
--
-- Views: queue_depth and why_waiting know paused queues; worker_status and postgres_health are new.
-- Functions: queue_status(span) and queue_history(queue, domain, span) are what the page of queues shows.

alter table tenure.queues
    add column paused_at    timestamptz,
    add column paused_by    text,
    add column pause_reason text,
    add constraint whoever_paused_is_known check ((paused_at is null) = (paused_by is null)),
    add constraint a_reason_belongs_to_a_pause check (pause_reason is null or paused_at is not null);
create index queues_paused on tenure.queues (id) where paused_at is not null;

create table tenure.queue_changes (
    id          bigint      generated always as identity primary key,
    queue_id    integer     not null references tenure.queues,
    change      text        not null check (change in ('paused', 'resumed')),
    by          text        not null,
    reason      text,
    at          timestamptz not null
);
create index queue_changes_by_queue on tenure.queue_changes (queue_id, id);

create function tenure.refuse_to_rewrite() returns trigger language plpgsql as $$
begin
    raise exception '% is a record of what happened; it is only ever added to', tg_table_name
        using errcode = 'check_violation';
end $$;

create trigger what_was_recorded_stays before update or delete or truncate on tenure.queue_changes
    for each statement execute function tenure.refuse_to_rewrite();

alter table tenure.workers
    add column draining_since timestamptz,
    add column lost_at        timestamptz,
    add column lost_attempts  integer not null default 0;   -- lost with it since it was last heard of

-- Each server adds what it handed out to its own rows, in three lengths of period, so that an hour, a day and a week
-- are read from at most a hundred rows per queue and server.
create table tenure.queue_stats (
    minutes   smallint    not null check (minutes in (1, 15, 120)),
    since     timestamptz not null,                 -- begin of the period
    queue_id  integer     not null,
    server    bigint      not null,                 -- workers.id
    started   integer     not null default 0,       -- attempts handed out
    failed    integer     not null default 0,       -- attempts that failed, gave up or were lost
    ready     integer     not null default 0,       -- most that were seen ready at once, up to 10,000
    waits     integer[]   not null default '{}',    -- attempts by how long they had been ready; see tenure.wait_quantile
    primary key (minutes, since, queue_id, server)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Two histograms as one; each is as long as its last bucket that is not empty.
create function tenure.add_waits(one integer[], other integer[]) returns integer[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(coalesce(u.a, 0) + coalesce(u.b, 0) order by u.bucket), '{}')
      from unnest(one, other) with ordinality as u (a, b, bucket)
$$;

-- The wait in seconds that a share (0.5: half) of a histogram's attempts did not exceed; null when it is empty.
-- Bucket 1 counts waits below 1 ms, bucket n those from 2^(n-2) up to 2^(n-1) ms. Within a bucket they count as evenly
-- spread.
create function tenure.wait_quantile(waits bigint[], share double precision) returns double precision
language sql immutable parallel safe as $$
    select (low + (high - low) * greatest(share * total - (upto - n), 0) / n) / 1000
      from (select n, bucket, sum(n) over (order by bucket) as upto, sum(n) over () as total,
                   case bucket when 1 then 0 else power(2, bucket - 2) end::double precision as low,
                   power(2, bucket - 1)::double precision as high
              from unnest(waits) with ordinality as u (n, bucket)) b
     where n > 0 and upto >= share * total
     order by bucket
     limit 1
$$;

-- How many attempts are ready in each queue that has any, counted up to `most`, and since when the oldest of them.
-- Goes from queue to queue in the index, so an empty queue costs nothing.
create function tenure.ready_counts(most integer)
returns table (queue_id integer, ready bigint, oldest_ready timestamptz) language sql stable rows 20 as $$
    with recursive found (id) as (
        (select c.queue_id from tenure.queue c where c.worker_id is null and not c.deferred order by c.queue_id limit 1)
        union all
        select (select c.queue_id from tenure.queue c
                 where c.worker_id is null and not c.deferred and c.queue_id > f.id order by c.queue_id limit 1)
          from found f where f.id is not null
    )
    select f.id, n.many, n.oldest
      from found f
     cross join lateral (
            select count(*) as many, min(c.run_at) as oldest
              from (select c.run_at from tenure.queue c
                     where c.queue_id = f.id and c.worker_id is null and not c.deferred limit most) c) n
     where f.id is not null
$$;

-- A word as a shell takes it.
create function tenure.shell_word(word text) returns text language sql immutable parallel safe as $$
    select case when word ~ '^[A-Za-z0-9_.:/@%+=,-]+$' then word else '''' || replace(word, '''', '''\''''') || '''' end
$$;

create or replace view tenure.queue_depth as
select n.name                              as queue,
       n.domain,
       coalesce(c.ready, 0)                as ready,
       coalesce(c.leased, 0)               as leased,
       coalesce(c.deferred, 0)             as deferred,
       coalesce(c.held, 0)                 as held,
       c.oldest_ready,
       coalesce(w.live, 0)                 as live_workers,
       w.last_seen,
       n.paused_at,
       n.paused_by,
       n.pause_reason
  from tenure.queues n
  left join (select queue_id,
                    count(*) filter (where worker_id is null and not deferred)               as ready,
                    count(*) filter (where worker_id is not null)                            as leased,
                    count(*) filter (where deferred and run_at <  'infinity')                as deferred,
                    count(*) filter (where deferred and run_at =  'infinity')                as held,
                    min(run_at) filter (where worker_id is null and not deferred)            as oldest_ready
               from tenure.queue group by queue_id) c on c.queue_id = n.id
  left join lateral (
             select count(*) filter (where w.draining_since is null and w.seen_at > now() - tenure.worker_patience()
                                        or exists (select from tenure.queue q
                                                    where q.worker_id = w.id and q.lease_until > now())) as live,
                    max(w.seen_at) as last_seen
               from tenure.workers w where w.queue_id = n.id) w on true;

create or replace function tenure.queue_served(queue integer, out live boolean, out last_seen timestamptz)
language sql stable as $$
    select coalesce(bool_or(w.draining_since is null and w.seen_at > now() - tenure.worker_patience()
                            or exists (select from tenure.queue q where q.worker_id = w.id and q.lease_until > now())), false),
           max(w.seen_at)
      from tenure.workers w where w.queue_id = queue
$$;

-- One row per reason. `hint` says what somebody could do about it; null when nothing needs doing.
create or replace view tenure.why_waiting as
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
 where q.worker_id is null and not q.deferred;

-- The length of the periods, in minutes, from which a span is read.
create function tenure.stats_minutes(span interval) returns integer language sql immutable parallel safe as
$$ select case when span <= interval '1 hour' then 1 when span <= interval '1 day' then 15 else 120 end $$;

-- How queues stand and how they were served over the last `span` (1 hour, 1 day, 7 days), one row per queue that has
-- something, was asked for within a day, was busy in the span, or is paused. Counts stop at 100,000 (`deferred`: at
-- 10,000 over all queues), so that a full database is no slower to look at than a busy one.
create function tenure.queue_status(span interval default interval '1 hour')
returns table (
    id             integer,
    queue          text,
    domain         text,
    state          text,                 -- paused, starved, held_back, busy, idle
    ready          bigint,
    leased         bigint,
    deferred       bigint,
    oldest_ready   timestamptz,
    next_due       timestamptz,          -- when the next deferred attempt becomes ready
    held_back_by   text,                 -- the error after which it waits
    live_workers   bigint,
    last_seen      timestamptz,
    last_worker    text,
    paused_at      timestamptz,
    paused_by      text,
    pause_reason   text,
    started        bigint,
    failed         bigint,
    started_per_min double precision,
    failed_share   double precision,     -- of those that started, 0 to 1; null when none did
    wait_p50_secs  double precision,
    wait_p95_secs  double precision,
    ready_series   integer[]             -- most that were ready at once, by period, oldest first
) language sql stable as $$
    with grain as materialized (
        select tenure.stats_minutes(span) as minutes, make_interval(mins => tenure.stats_minutes(span)) as step,
               date_bin(make_interval(mins => tenure.stats_minutes(span)), now(), 'epoch') as newest
    ), ready as materialized (
        select * from tenure.ready_counts(100000)
    ), held as materialized (
        select q.worker_id, count(*) as leased, bool_or(q.lease_until > now()) as is_held
          from tenure.queue q where q.worker_id is not null group by q.worker_id
    ), serving as materialized (
        select w.queue_id, sum(h.leased)::bigint as leased, max(w.seen_at) as last_seen,
               (array_agg(w.name order by w.seen_at desc))[1] as last_worker,
               count(*) filter (where w.draining_since is null and w.seen_at > now() - tenure.worker_patience()
                                   or h.is_held) as live
          from tenure.workers w left join held h on h.worker_id = w.id
         group by w.queue_id
    ), later as materialized (
        select q.queue_id, q.execution_id, q.attempt_id, q.run_at
          from tenure.queue q where q.deferred and q.run_at < 'infinity' order by q.run_at limit 10000
    ), held_back as materialized (
        select l.queue_id, l.many, l.run_at, left(r.error, 200) as error
          from (select distinct on (l.queue_id) l.*, count(*) over (partition by l.queue_id) as many
                  from later l order by l.queue_id, l.run_at) l
          left join tenure.tasks t   on t.execution_id = l.execution_id and t.id = l.attempt_id
          left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.retry_of
    ), periods as materialized (
        select s.queue_id, s.since, sum(s.started) as started, sum(s.failed) as failed, max(s.ready) as ready
          from tenure.queue_stats s, grain g
         where s.minutes = g.minutes and s.since > g.newest - span
         group by s.queue_id, s.since
    ), totals as materialized (
        select p.queue_id, sum(p.started)::bigint as started, sum(p.failed)::bigint as failed from periods p group by p.queue_id
    ), waits as materialized (
        select b.queue_id, array_agg(b.n order by b.bucket) as waits
          from (select s.queue_id, u.bucket, sum(u.n)::bigint as n
                  from grain g, tenure.queue_stats s, unnest(s.waits) with ordinality as u (n, bucket)
                 where s.minutes = g.minutes and s.since > g.newest - span
                 group by s.queue_id, u.bucket) b
         group by b.queue_id
    )
    select n.id, n.name, n.domain,
           case when n.paused_at is not null then 'paused'
                when r.ready > 0 and coalesce(w.live, 0) = 0 then 'starved'
                when h.many > coalesce(r.ready, 0) + coalesce(w.leased, 0) then 'held_back'
                when w.live > 0 or w.leased > 0 then 'busy'
                else 'idle' end,
           coalesce(r.ready, 0), coalesce(w.leased, 0), coalesce(h.many, 0), r.oldest_ready, h.run_at, h.error,
           coalesce(w.live, 0), w.last_seen, w.last_worker, n.paused_at, n.paused_by, n.pause_reason,
           coalesce(t.started, 0), coalesce(t.failed, 0),
           coalesce(t.started, 0) / (extract(epoch from span) / 60)::double precision,
           t.failed::double precision / nullif(greatest(t.started, t.failed), 0),
           tenure.wait_quantile(x.waits, 0.5), tenure.wait_quantile(x.waits, 0.95),
           (select array_agg(coalesce(p.ready, 0) order by at)
              from grain g, generate_series(g.newest - span + g.step, g.newest, g.step) as at
              left join periods p on p.queue_id = n.id and p.since = at)
      from tenure.queues n
      left join ready r     on r.queue_id = n.id
      left join serving w   on w.queue_id = n.id
      left join held_back h on h.queue_id = n.id
      left join totals t    on t.queue_id = n.id
      left join waits x     on x.queue_id = n.id
     where n.name <> 'tenure.web'
       and n.id in (select queue_id from ready union all select queue_id from serving union all select queue_id from held_back
                    union all select queue_id from totals union all select q.id from tenure.queues q where q.paused_at is not null)
$$;

-- How one queue was served over the last `span`, one row per period, oldest first.
create function tenure.queue_history(queue text, domain text default '', span interval default interval '1 hour')
returns table (at timestamptz, minutes integer, ready integer, started bigint, failed bigint,
               wait_p50_secs double precision, wait_p95_secs double precision) language sql stable as $$
    with grain as materialized (
        select n.id, tenure.stats_minutes(span) as minutes, make_interval(mins => tenure.stats_minutes(span)) as step,
               date_bin(make_interval(mins => tenure.stats_minutes(span)), now(), 'epoch') as newest
          from tenure.queues n where n.name = $1 and n.domain = $2
    )
    select p.at, g.minutes, coalesce(s.ready, 0), coalesce(s.started, 0), coalesce(s.failed, 0),
           tenure.wait_quantile(x.waits, 0.5), tenure.wait_quantile(x.waits, 0.95)
      from grain g
     cross join lateral generate_series(g.newest - span + g.step, g.newest, g.step) as p (at)
      left join lateral (select max(s.ready) as ready, sum(s.started) as started, sum(s.failed) as failed
                           from tenure.queue_stats s
                          where s.minutes = g.minutes and s.since = p.at and s.queue_id = g.id) s on true
      left join lateral (select array_agg(b.n order by b.bucket) as waits
                           from (select u.bucket, sum(u.n)::bigint as n
                                   from tenure.queue_stats s, unnest(s.waits) with ordinality as u (n, bucket)
                                  where s.minutes = g.minutes and s.since = p.at and s.queue_id = g.id
                                  group by u.bucket) b) x on true
     order by p.at
$$;

-- One row per worker or server that was heard of within a day, whatever number of queues it asks.
create view tenure.worker_status as
with held as (
    select q.worker_id, count(*) as leased, bool_or(q.lease_until > now()) as is_held
      from tenure.queue q where q.worker_id is not null group by q.worker_id
), locked as (
    select l.objid::bigint as id from pg_locks l
     where l.locktype = 'advisory' and l.classid = 7238 and l.granted
       and l.database = (select oid from pg_database where datname = current_database())
), one as (
    select w.name, w.kind, array_agg(w.id) as ids, array_agg(n.name order by w.seen_at desc, n.name) as queues,
           min(w.first_seen) as first_seen, max(w.seen_at) as seen_at, coalesce(sum(h.leased), 0)::bigint as leased,
           coalesce(bool_or(h.is_held), false) as is_held, max(w.draining_since) as draining_since, max(w.lost_at) as lost_at,
           sum(w.lost_attempts) filter (where w.lost_at > w.seen_at) as lost_attempts,
           -- A server that beats and has no lock is about to take it again.
           bool_or(w.has_lock and w.seen_at < now() - interval '3 seconds'
                   and not exists (select from locked l where l.id = w.id)) as lock_is_gone
      from tenure.workers w
      join tenure.queues n on n.id = w.queue_id
      left join held h on h.worker_id = w.id
     where w.seen_at > now() - interval '1 day'
     group by w.name, w.kind
)
select o.name                              as worker,
       o.kind,
       case when o.draining_since is not null
            then case when o.lock_is_gone or o.seen_at < now() - tenure.worker_patience() then 'stopped' else 'draining' end
            when o.lost_at > o.seen_at or o.lock_is_gone then 'lost'
            when o.seen_at > now() - tenure.worker_patience() or o.is_held then 'live'
            when o.kind = 'server' or o.leased > 0 then 'lost'
            else 'stopped' end             as state,
       o.queues[1:8]                       as queues,
       cardinality(o.queues)               as queue_count,
       o.first_seen,
       o.seen_at,
       o.leased,
       coalesce(o.lost_attempts, 0)        as lost_attempts,
       o.lost_at,
       o.draining_since,
       case when o.leased > 0 then (
            select json_agg(json_build_object('execution_id', h.execution_id, 'attempt_id', h.attempt_id, 'name', left(h.name, 100),
                                              'agent', left(h.agent, 100), 'turn', h.turn, 'since', h.leased_at) order by h.leased_at)
              from (select q.execution_id, q.attempt_id, q.leased_at, t.name, t.turn, e.agent
                      from tenure.queue q
                      join tenure.tasks t      on t.execution_id = q.execution_id and t.id = q.attempt_id
                      join tenure.executions e on e.id = q.execution_id
                     where q.worker_id = any(o.ids)
                     order by q.leased_at
                     limit 3) h) end       as working_on
  from one o;

-- How the database itself does: one row.
create view tenure.postgres_health as
select current_setting('server_version')   as version,
       (select count(*) from pg_stat_activity a where a.backend_type = 'client backend') as connections,
       current_setting('max_connections')::integer as max_connections,
       (select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0)::double precision
          from pg_stat_activity a
         where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend')
                                           as oldest_transaction_secs,
       (select count(*) from pg_locks l where not l.granted) as lock_waits,
       d.dead_share,
       d.table_most_dead,
       pg_database_size(current_database()) as database_bytes,
       pg_postmaster_start_time()          as up_since
  from (select sum(s.n_dead_tup)::double precision / nullif(sum(s.n_dead_tup + s.n_live_tup), 0) as dead_share,
               (array_agg(s.relname::text order by s.n_dead_tup desc))[1] as table_most_dead
          from pg_stat_user_tables s
         where s.schemaname = 'tenure') d;
