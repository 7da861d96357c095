-- The tables that everything else hangs off.
--
--   agents, agent_versions  definitions, versioned by content, never changed in place
--   executions              one row per run of an agent version; the only row that is locked to decide
--   messages                the conversation of an execution, appended
--   tasks                   one row per attempt: what is to be done; inserted once, never updated
--   queue                   one narrow row per attempt that waits or is leased; deleted when its result is accepted
--   results                 how an attempt ended; inserted once
--   events                  what happened to an execution, numbered without gaps under its row lock
--   inbox, task_logs        messages into an execution; what workers logged
--   queues, task_defs, workers   names that work waits under, their retry policies, who asks for work
--
-- Rules: what is wide is written once, what changes is narrow. History tables lead their keys with execution_id,
-- whose ids sort by time, so that they can be partitioned by range and distributed by it. Payloads are `json`, the
-- text as sent: `jsonb` would reorder it, drop digits and refuse what src/json.rs makes storable.

create table tenure.agents (
    name        text        primary key,
    current     integer     not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table tenure.agent_versions (
    name        text        not null,
    version     integer     not null check (version >= 1),
    checksum    text        not null,               -- sha256 of the definition as sent, hex
    definition  json        not null,               -- agentConfig as sent
    created_at  timestamptz not null default now(),
    retired_at  timestamptz,                        -- deleted by a person; executions keep referring to it
    primary key (name, version),
    unique (name, checksum)
);

create table tenure.executions (
    id          uuid        primary key,
    agent       text        not null,
    version     integer     not null,
    status      text        not null,
    reason      text,                               -- why it ended without plain completion
    input       json        not null,               -- prompt, media, context, session_id, …
    state       json        not null,               -- engine::State
    context     json        not null,               -- what its tools share
    output      json,
    last_seq    integer     not null default 0,     -- newest event
    start_key   text,                               -- idempotency key of its start
    session_id  text,
    domains     json,                               -- task name → domain, of stateful runs
    domain      text,
    priority    smallint    not null default 0,     -- lower is first
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(), -- time of the newest event
    ended_at    timestamptz,
    deadline    timestamptz,
    foreign key (agent, version) references tenure.agent_versions (name, version),
    constraint status_is_known
        check (status in ('running', 'paused', 'completed', 'failed', 'terminated', 'timed_out')),
    constraint ended_exactly_when_terminal
        check ((status in ('running', 'paused')) = (ended_at is null)),
    constraint ends_after_it_starts check (ended_at >= created_at)
) with (fillfactor = 80);

-- One start key starts one execution, as long as that one is alive or has succeeded.
create unique index executions_started_once on tenure.executions (agent, start_key)
    where start_key is not null and status in ('running', 'paused', 'completed');
create index executions_by_agent   on tenure.executions (agent, id);
create index executions_by_status  on tenure.executions (status, id);
create index executions_by_session on tenure.executions (session_id, id) where session_id is not null;
create index executions_overdue    on tenure.executions (deadline) where deadline is not null and ended_at is null;

create function tenure.refuse_to_reopen() returns trigger language plpgsql as $$
begin
    raise exception 'execution % has ended as %; what has ended stays as it is', old.id, old.status
        using errcode = 'check_violation', hint = 'Start a new execution.';
end $$;

create trigger what_has_ended_stays before update on tenure.executions
    for each row when (old.ended_at is not null) execute function tenure.refuse_to_reopen();

create table tenure.messages (
    execution_id uuid        not null,
    n            integer     not null check (n >= 1),
    role         text        not null check (role in ('user', 'assistant', 'tool', 'signal')),
    turn         integer     not null,
    call         smallint,
    attempt_id   uuid,                              -- whose result is the content, when `content` is null
    call_id      text,
    name         text,
    content      text,
    at           timestamptz not null,
    primary key (execution_id, n)
);

create table tenure.queues (
    id      integer generated always as identity primary key,
    name    text not null,
    domain  text not null default '',
    unique (name, domain)
);

create table tenure.task_defs (
    name                  text        primary key,
    definition            json        not null,     -- as sent, defaults filled in
    retry_count           integer     not null,
    retry_logic           text        not null check (retry_logic in ('FIXED', 'LINEAR_BACKOFF', 'EXPONENTIAL_BACKOFF')),
    retry_delay_secs      integer     not null,
    backoff_scale         integer     not null,
    response_timeout_secs integer     not null check (response_timeout_secs >= 1),
    timeout_secs          integer     not null,
    retries_given         boolean     not null,     -- whether the client chose the retries itself
    updated_at            timestamptz not null default now()
);

create table tenure.workers (
    id          bigint      generated always as identity primary key,
    queue_id    integer     not null references tenure.queues,
    name        text        not null,
    kind        text        not null check (kind in ('worker', 'server')),
    has_lock    boolean     not null default false, -- a server that holds a session advisory lock (7238, id) while it lives
    first_seen  timestamptz not null default now(),
    seen_at     timestamptz not null default now(),
    unique (queue_id, name)
) with (fillfactor = 50);

create table tenure.tasks (
    execution_id uuid        not null,
    id           uuid        not null,              -- of the attempt
    kind         text        not null check (kind in ('model', 'tool', 'check')),
    turn         integer     not null,
    call         smallint    not null default 0,
    attempt      integer     not null check (attempt >= 1),
    losses       integer     not null default 0,    -- attempts before this one that were lost with their worker
    name         text        not null,              -- tool, worker or model
    call_id      text,
    queue_id     integer     not null,
    input        json        not null,
    retry_of     uuid,
    created_at   timestamptz not null,
    primary key (execution_id, id)
);
create index tasks_by_id on tenure.tasks (id);

create table tenure.queue (
    execution_id uuid        not null,
    attempt_id   uuid        not null,
    queue_id     integer     not null,
    priority     smallint    not null default 0,    -- lower is first
    run_at       timestamptz not null default now(),-- 'infinity' while the execution is paused
    deferred     boolean     not null default false,-- waits for run_at, outside the ready index
    worker_id    bigint,                            -- null while nobody has it
    leased_at    timestamptz,
    lease_until  timestamptz,
    first_leased timestamptz,
    polls        integer     not null default 0,
    primary key (execution_id, attempt_id),
    constraint leased_exactly_when_a_worker_has_it
        check ((worker_id is null) = (lease_until is null) and (worker_id is null) = (leased_at is null)),
    constraint leased_work_is_not_deferred check (worker_id is null or not deferred)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000);
create index queue_ready    on tenure.queue (queue_id, priority, run_at, attempt_id) where worker_id is null and not deferred;
create index queue_deferred on tenure.queue (run_at) where deferred;
create index queue_leased   on tenure.queue (worker_id) where worker_id is not null;  -- not on lease_until: heartbeats stay HOT

create table tenure.results (
    execution_id uuid        not null,
    attempt_id   uuid        not null,
    kind         text        not null,
    turn         integer     not null,
    call         smallint    not null,
    outcome      text        not null check (outcome in ('completed', 'failed', 'gave_up', 'lost', 'withdrawn')),
    output       json,
    error        text,
    worker       text,
    polls        integer     not null default 0,
    started_at   timestamptz,
    ended_at     timestamptz not null,
    prompt_tokens     bigint,
    completion_tokens bigint,
    primary key (execution_id, attempt_id)
);
-- However many attempts a task takes, one of them is accepted.
create unique index results_accepted_once on tenure.results (execution_id, kind, turn, call) where outcome in ('completed', 'gave_up');

create table tenure.events (
    execution_id uuid        not null,
    seq          integer     not null check (seq >= 1),
    kind         text        not null,
    attempt_id   uuid,
    data         json,
    at           timestamptz not null,
    primary key (execution_id, seq)
);

create table tenure.inbox (
    execution_id uuid        not null,
    id           uuid        not null,
    payload      json        not null,
    received_at  timestamptz not null default now(),
    primary key (execution_id, id)
);

create table tenure.task_logs (
    execution_id uuid        not null,
    attempt_id   uuid        not null,
    n            bigint      generated always as identity,
    line         text        not null,
    at           timestamptz not null default now(),
    primary key (execution_id, attempt_id, n)
);

do $$ begin
    -- lz4 writes wide payloads three times faster than the default, where the server was built with it.
    alter table tenure.executions alter column input set compression lz4, alter column output set compression lz4,
        alter column context set compression lz4;
    alter table tenure.tasks alter column input set compression lz4;
    alter table tenure.results alter column output set compression lz4;
    alter table tenure.messages alter column content set compression lz4;
    alter table tenure.events alter column data set compression lz4;
exception when feature_not_supported then null;
end $$;
