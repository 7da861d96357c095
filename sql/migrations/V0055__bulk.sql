-- Bulk jobs: one action on every run that a filter matches, done in small steps at a rate, by whichever server is there.

create table tenure.bulk_jobs (
    id          uuid        primary key,
    action      text        not null check (action in ('pause', 'resume', 'stop', 'cancel', 'retry', 'restart')),
    filter      text        not null,      -- in the words of the list: status:failed agent:triage since:24h
    reason      text        not null default '',
    started_by  text        not null,
    rate        integer     not null check (rate between 1 and 1000),   -- runs a second, at most
    state       text        not null default 'running' check (state in ('running', 'done', 'cancelled')),
    expected    integer,                   -- runs that matched at its start; null: too many to be counted
    matched     integer     not null default 0,   -- runs that it came to so far
    done        integer     not null default 0,
    skipped     integer     not null default 0,   -- it could not be done to them, or was so already
    failed      integer     not null default 0,
    note        text,                      -- why the newest one was skipped or failed
    cursor      uuid        not null,      -- it has seen to all runs from here on; newer ones than its start are none of its own
    start_key   text        unique,        -- the same one begins one job
    worker_id   bigint      references tenure.workers (id) on delete set null,   -- they are forgotten after a day
    lease_until timestamptz,
    created_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default clock_timestamp(),
    ended_at    timestamptz,
    ended_by    text,
    constraint every_run_is_counted_once check (matched = done + skipped + failed),
    constraint an_end_has_a_time check ((state = 'running') = (ended_at is null))
);
create index bulk_jobs_running on tenure.bulk_jobs (id) where state = 'running';

-- Bulk jobs, with what they do right now.
create view tenure.bulk_job as
select j.id, j.action, j.filter, j.reason, j.started_by, j.rate, j.state, j.expected, j.matched, j.done, j.skipped, j.failed,
       j.note, w.name as server, j.created_at, j.updated_at, j.ended_at, j.ended_by,
       case when j.state = 'done' then 'all that matched were seen to'
            when j.state = 'cancelled' then 'cancelled by ' || coalesce(j.ended_by, 'somebody')
            when j.worker_id is null then 'waits for a server that takes it on'
            when j.lease_until < clock_timestamp() then 'its server is silent; another one takes it on'
            else 'goes on at ' || j.rate || ' runs a second' end as why
  from tenure.bulk_jobs j
  left join tenure.workers w on w.id = j.worker_id;
