-- Telling people: webhooks are told of questions, of what became of them, and of runs that failed.
--
--   webhooks   where to, in which shape, about what, and how often somebody is reminded
--   outbox     one row per telling, written by the commit that it tells of; servers send what is due until it is taken or
--              a day has gone by
--
-- A row is sent at least once, always under the same id, so that who is told twice can know.

-- Whether a name fits a pattern in which * stands for any text.
create function tenure.fits(name text, pattern text) returns boolean language sql immutable parallel safe as $$
    select name like replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
$$;

create table tenure.webhooks (
    name      text        primary key check (length(name) between 1 and 100),
    url       text        not null check (url ~ '^https?://'),
    secret    text        not null check (secret like 'whsec\_%'),  -- signs what is sent: base64 after `whsec_`
    shape     text        not null default 'json' check (shape in ('json', 'slack')),
    events    text[]      not null check (events <> '{}' and events <@ '{asked,escalated,decided,failed}'),
    agent     text        not null default '*',        -- runs of these agents; * stands for any text
    of_group  text,                                    -- only what this group is asked; null: all
    remind    interval    check (remind >= interval '1 minute'),  -- asked again each time that this has gone by; null: never
    set_at    timestamptz not null default clock_timestamp(),
    set_by    text        not null default session_user
);

create table tenure.outbox (
    id           uuid        primary key default gen_random_uuid(),
    webhook      text        not null references tenure.webhooks (name) on delete cascade,
    event        text        not null check (event in ('asked', 'reminder', 'escalated', 'decided', 'failed', 'test')),
    execution_id uuid,
    subject      uuid        not null,                 -- the approval, or the run that failed
    n            integer     not null default 0,       -- tells reminders and rounds of one subject apart
    state        text        not null default 'waiting' check (state in ('waiting', 'delivered', 'dropped', 'gave_up')),
    created_at   timestamptz not null default clock_timestamp(),
    due_at       timestamptz not null default clock_timestamp(),
    tries        integer     not null default 0,
    note         text,                                 -- what the last try came to
    ended_at     timestamptz,
    constraint told_once unique (webhook, event, subject, n),
    constraint an_end_has_a_time check ((state = 'waiting') = (ended_at is null))
);
create index outbox_due        on tenure.outbox (due_at) where state = 'waiting';
create index outbox_newest     on tenure.outbox (created_at);
create index outbox_of_webhook on tenure.outbox (webhook, state, ended_at);
create index outbox_subject    on tenure.outbox (subject);

create function tenure.tell(event text, execution uuid, subject uuid, n integer, agent text, of_group text)
returns void language sql as $$
    insert into tenure.outbox (webhook, event, execution_id, subject, n)
    select w.name, tell.event, tell.execution, tell.subject, tell.n
      from tenure.webhooks w
     where tell.event = any(w.events) and tenure.fits(tell.agent, w.agent)
       and (w.of_group is null or w.of_group = tell.of_group)
        on conflict on constraint told_once do nothing
$$;

create function tenure.tell_of_approval() returns trigger language plpgsql as $$
begin
    perform tenure.tell(tg_argv[0], new.execution_id, new.id, new.round, new.agent, new.of_group);
    return null;
end $$;

create trigger who_wants_to_know_is_told after insert on tenure.approvals
    for each row execute function tenure.tell_of_approval('asked');
create trigger who_is_asked_now_is_told after update of round on tenure.approvals
    for each row when (new.round > old.round) execute function tenure.tell_of_approval('escalated');
create trigger how_it_was_decided_is_told after update of decision on tenure.approvals
    for each row when (old.decision is null and new.decision <> 'withdrawn') execute function tenure.tell_of_approval('decided');

create function tenure.tell_of_failure() returns trigger language plpgsql as $$
begin
    perform tenure.tell('failed', new.id, new.id, 0, new.agent, null);
    return null;
end $$;

create trigger that_it_failed_is_told after update of status on tenure.executions
    for each row when (old.ended_at is null and new.status in ('failed', 'timed_out')) execute function tenure.tell_of_failure();

-- What was told to whom, and what waits to be told.
create view tenure.deliveries as
select o.id, o.webhook, o.event, o.execution_id, o.subject, o.state, o.tries, o.note, o.created_at, o.ended_at,
       case o.state when 'delivered' then 'taken'
                    when 'dropped' then 'not sent: ' || coalesce(o.note, 'there is nothing to tell any more')
                    when 'gave_up' then 'given up after ' || o.tries || ' tries: ' || coalesce(o.note, '')
                    else case when o.tries = 0 then 'waits for a server that sends it'
                              when o.note is null then 'is being sent'
                              else 'is tried again at ' || tenure.clock(o.due_at) || ': ' || o.note end end as why
  from tenure.outbox o;
