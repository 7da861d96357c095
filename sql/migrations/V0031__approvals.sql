-- Approvals: questions to people that executions wait for, and the one function that decides them.
--
--   approvals        one row per question: what is asked, of whom, since when, until when and what happens then; and what
--                    became of it, once
--   approval_votes   who said what; appended, never changed
--   group_members    who belongs to a group; a group without members is everybody
--
-- Function: decide(approval, decision, …) under every channel: pages, HTTP, command line, protocol and psql. It locks the
-- one row, so of any number of decisions exactly one counts, and it tells all others who decided what, and when.
-- What was decided reaches the engine in the same transaction when a server made it, else within a second: servers look
-- for decisions that were not delivered yet.
--
-- Views: approval, for people; why_waiting and timeline() know approvals, through why_work_waits and told().

create table tenure.approvals (
    execution_id   uuid        not null,
    id             uuid        not null,
    kind           text        not null check (kind in ('call', 'question')),   -- a tool's call, or a question to be answered
    agent          text        not null,
    turn           integer     not null,
    call           smallint    not null,
    call_id        text        not null,
    tool           text        not null,
    description    text        not null,
    arguments      json        not null,               -- as the model wrote them
    arguments_hash text        not null,               -- sha256 of that text, hex
    schema         json        not null,               -- JSON Schema of the arguments
    of_group       text,                               -- null: anybody
    quorum         smallint    not null,               -- how many must approve
    round          smallint    not null default 1,     -- grows when it is escalated
    asked_at       timestamptz not null,
    patience       interval,                           -- for how long it is asked
    expires_at     timestamptz,
    on_expiry      text        check (on_expiry in ('deny', 'approve', 'escalate')),
    escalate_to    text,
    decision       text        check (decision in ('approved', 'denied', 'answered', 'withdrawn')),
    decided_at     timestamptz,
    decided_by     text,
    decided_via    text        check (decided_via in ('page', 'api', 'cli', 'protocol', 'sql', 'clock', 'run')),
    reason         text,
    edited         json,                               -- the arguments that were approved instead
    answer         json,
    delivered_at   timestamptz,                        -- when the execution took notice
    primary key (execution_id, id),
    constraint a_call_is_asked_about_once unique (execution_id, turn, call),
    constraint decided_exactly_when_somebody_decided
        check ((decision is null) = (decided_at is null) and (decision is null) = (decided_by is null)
               and (decision is null) = (decided_via is null)),
    constraint decided_after_it_was_asked check (decided_at >= asked_at),
    constraint delivered_after_it_was_decided check (delivered_at is null or decision is not null),
    constraint only_a_call_is_approved check (decision is distinct from 'approved' or kind = 'call'),
    constraint only_a_question_is_answered
        check ((decision is not distinct from 'answered') = (answer is not null) and (answer is null or kind = 'question')),
    constraint only_what_was_approved_was_edited check (edited is null or decision = 'approved'),
    constraint whoever_denies_says_why check (decision is distinct from 'denied' or reason is not null),
    constraint what_expires_says_what_happens_then check ((expires_at is null) = (on_expiry is null)),
    constraint escalates_to_somebody check ((on_expiry is not distinct from 'escalate') = (escalate_to is not null)),
    constraint somebody_must_agree check (quorum >= 1)
) with (fillfactor = 80);
create index approvals_by_id       on tenure.approvals (id);
create index approvals_pending     on tenure.approvals (asked_at, id) where decision is null;
create index approvals_expiring    on tenure.approvals (expires_at) where decision is null and expires_at is not null;
create index approvals_undelivered on tenure.approvals (decided_at) where decision is not null and delivered_at is null;
create index approvals_open        on tenure.approvals (execution_id) where delivered_at is null;
create index approvals_decided     on tenure.approvals (decided_at, id) where decision is not null;
create index approvals_by_tool     on tenure.approvals (tool, decided_at) where decision is not null;

create table tenure.approval_votes (
    execution_id   uuid        not null,
    approval_id    uuid        not null,
    round          smallint    not null,
    voter          text        not null,
    vote           text        not null check (vote in ('approve', 'deny', 'answer')),
    via            text        not null,
    reason         text,
    arguments_hash text        not null,               -- of the arguments that the vote is for
    edited         json,
    request        uuid,                               -- tells a vote from another one that says the same
    at             timestamptz not null,
    constraint nobody_votes_twice primary key (execution_id, approval_id, round, voter)
);

create table tenure.group_members (
    group_name text not null check (group_name <> ''),
    member     text not null check (member <> ''),
    primary key (group_name, member)
);

-- What a person says with an approval stands in the conversation as the system's word.
alter table tenure.messages drop constraint messages_role_check;
alter table tenure.messages add constraint messages_role_check
    check (role in ('user', 'assistant', 'tool', 'signal', 'system')) not valid;

create trigger what_was_said_stays before update or delete or truncate on tenure.approval_votes
    for each statement execute function tenure.refuse_to_rewrite();

create function tenure.refuse_to_decide_again() returns trigger language plpgsql as $$
begin
    if row(new.decision, new.decided_at, new.decided_by, new.decided_via, new.reason, new.edited::text, new.answer::text,
           new.arguments::text)
       is distinct from
       row(old.decision, old.decided_at, old.decided_by, old.decided_via, old.reason, old.edited::text, old.answer::text,
           old.arguments::text)
       or old.delivered_at is not null then
        raise exception 'approval % was % by % at %; what was decided stays', old.id, old.decision, old.decided_by, old.decided_at
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create trigger what_was_decided_stays before update on tenure.approvals
    for each row when (old.decision is not null) execute function tenure.refuse_to_decide_again();
create trigger what_was_asked_stays before delete or truncate on tenure.approvals
    for each statement execute function tenure.refuse_to_rewrite();

-- What became of an approval, as a sentence.
create function tenure.fate_of(a tenure.approvals) returns text language sql stable as $$
    select case when a.decision is null then 'nobody has decided it yet'
                when a.decision = 'withdrawn' then 'it was withdrawn at ' || tenure.clock(a.decided_at) || coalesce(': ' || a.reason, '')
                else 'it was ' || a.decision || ' by ' || a.decided_by || ' at ' || tenure.clock(a.decided_at)
                     || case when a.edited is not null then ', with other arguments' else '' end
                     || coalesce(': ' || left(a.reason, 500), '') end
$$;

-- Decide an approval. `decision` is approve, deny or answer; `by` is who says it, `reason` why (needed to deny).
-- `arguments` are other ones that a call shall run with; a server checks them against the tool's schema before it runs.
-- `answer` is what a question is answered with: an object, or anything else, which then is its `response`. `shown` is the
-- hash of the arguments that were shown: when it is given and the row's is another, nothing is decided. The same `request`
-- counts once.
--
-- Returns the outcome and a sentence that says it. Outcomes: decided; voted (more must agree); taken (somebody was
-- first); expired; stale (other arguments were shown); refused (not possible, the sentence says why); unknown.
--
-- It locks the approval's row only, never an execution. A session that leaves its transaction open would keep servers
-- from that row, so it is given 5 seconds.
create function tenure.decide(
    approval uuid, decision text, by text default session_user, reason text default null, arguments json default null,
    answer json default null, shown text default null, via text default 'sql', request uuid default null,
    out outcome text, out message text
) language plpgsql as $$
declare
    a        tenure.approvals;
    said     text := nullif(left(btrim(reason), 2000), '');
    who      text := left(nullif(btrim(by), ''), 200);
    agreed   integer;
    stands   text;                                     -- hash of the arguments that this vote is for
begin
    perform set_config('idle_in_transaction_session_timeout', '5s', true);
    select * into a from tenure.approvals p where p.id = decide.approval for no key update;
    if not found then
        outcome := 'unknown'; message := 'no approval with id ''' || approval || ''''; return;
    end if;
    outcome := 'refused';
    if request is not null and exists (select from tenure.approval_votes v
                                        where v.execution_id = a.execution_id and v.approval_id = a.id
                                          and v.request = decide.request) then
        -- The same request again, because its answer was lost.
        outcome := case when a.decision is null then 'voted' else 'decided' end; message := tenure.fate_of(a); return;
    elsif a.decision is not null then
        outcome := 'taken'; message := tenure.fate_of(a); return;
    elsif clock_timestamp() >= a.expires_at and via <> 'clock' then
        outcome := 'expired';
        message := 'its time was over at ' || tenure.clock(a.expires_at) || '; then '
                   || case a.on_expiry when 'deny' then 'it counts as denied' when 'approve' then 'it counts as approved'
                           else a.escalate_to || ' is asked' end;
        return;
    elsif who is null then
        message := 'say who decides'; return;
    elsif shown is not null and shown <> a.arguments_hash then
        outcome := 'stale'; message := 'the arguments that were shown are not those of this call; look at it again'; return;
    elsif decision is null or decision not in ('approve', 'deny', 'answer') then
        message := 'a decision is approve, deny or answer'; return;
    elsif decision = 'approve' and a.kind = 'question' then
        message := 'this is a question; answer it in words, or deny it'; return;
    elsif decision = 'answer' and a.kind = 'call' then
        message := 'this is a call; approve or deny it'; return;
    elsif decision = 'answer' and answer is null then
        message := 'an answer needs words'; return;
    elsif decision = 'deny' and said is null then
        message := 'whoever denies says why; the model is told'; return;
    elsif arguments is not null and decision <> 'approve' then
        message := 'only an approval can change arguments'; return;
    elsif arguments is not null and json_typeof(arguments) <> 'object' then
        message := 'arguments are a JSON object'; return;
    elsif a.of_group is not null and via <> 'clock'
          and exists (select from tenure.group_members m where m.group_name = a.of_group)
          and not exists (select from tenure.group_members m where m.group_name = a.of_group and m.member = who) then
        message := who || ' does not belong to ' || a.of_group || ', whose decision it is'; return;
    elsif exists (select from tenure.approval_votes v where v.execution_id = a.execution_id and v.approval_id = a.id
                     and v.round = a.round and v.voter = who) then
        outcome := 'taken'; message := who || ' has approved it already; others must agree'; return;
    end if;
    stands := coalesce(encode(sha256(convert_to(arguments::text, 'UTF8')), 'hex'), a.arguments_hash);
    if via <> 'clock' then
        insert into tenure.approval_votes (execution_id, approval_id, round, voter, vote, via, reason, arguments_hash, edited, request, at)
        values (a.execution_id, a.id, a.round, who, decision, via, said, stands, arguments, request, clock_timestamp());
    end if;
    if decision = 'approve' and a.quorum > 1 and via <> 'clock' then
        select count(*) into agreed from tenure.approval_votes v
         where v.execution_id = a.execution_id and v.approval_id = a.id and v.round = a.round
           and v.vote = 'approve' and v.arguments_hash = stands;
        if agreed < a.quorum then
            outcome := 'voted';
            message := agreed || ' of ' || a.quorum || ' approved' || case when arguments is null then '' else ' these arguments' end;
            return;
        end if;
    end if;
    update tenure.approvals p
       set decision = case decide.decision when 'approve' then 'approved' when 'deny' then 'denied' else 'answered' end,
           decided_at = greatest(clock_timestamp(), p.asked_at), decided_by = who, decided_via = decide.via, reason = said,
           edited = decide.arguments,
           answer = case when decide.decision = 'answer'
                         then case when json_typeof(decide.answer) = 'object' then decide.answer
                                   else json_build_object('response', decide.answer) end end
     where p.execution_id = a.execution_id and p.id = a.id
    returning * into a;
    outcome := 'decided'; message := tenure.fate_of(a);
end $$;

-- What happens when nobody has decided an approval in time; null when its time is not over or it was decided.
create function tenure.expire(approval uuid, out outcome text, out message text) language plpgsql as $$
declare
    a tenure.approvals;
begin
    select * into a from tenure.approvals p where p.id = expire.approval for no key update;
    if not found or a.decision is not null or a.expires_at is null or clock_timestamp() < a.expires_at then
        outcome := 'taken'; return;
    elsif a.on_expiry = 'escalate' then
        update tenure.approvals p
           set of_group = a.escalate_to, escalate_to = null, on_expiry = 'deny', round = a.round + 1,
               expires_at = clock_timestamp() + a.patience
         where p.execution_id = a.execution_id and p.id = a.id;
        outcome := 'escalated'; message := a.escalate_to; return;
    end if;
    select d.outcome, d.message into outcome, message
      from tenure.decide(approval, a.on_expiry, 'the clock', 'nobody decided in time', via => 'clock') d;
end $$;

-- One row per question, newest first when ordered by asked_at.
create view tenure.approval as
select a.id, a.execution_id, a.agent, a.kind, a.tool,
       case when a.decision is not null then a.decision when a.expires_at <= now() then 'expiring' else 'pending' end as state,
       a.arguments, a.of_group, a.quorum,
       (select count(*) from tenure.approval_votes v where v.execution_id = a.execution_id and v.approval_id = a.id
           and v.round = a.round and v.vote = 'approve') as approved,
       a.asked_at, a.expires_at, a.on_expiry, a.escalate_to,
       a.decided_at, a.decided_by, a.decided_via, a.reason, a.edited, a.answer,
       coalesce(a.decided_at, now()) - a.asked_at as waited,
       a.turn, a.call, a.call_id, a.arguments_hash, a.description, a.schema, a.delivered_at
  from tenure.approvals a;

-- One row per reason. `hint` says what somebody could do about it; null when nothing needs doing.
create or replace view tenure.why_work_waits as
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

-- What happened to an execution from event `first` to event `last`, oldest first.
create or replace function tenure.told(execution uuid, first integer, last integer)
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
                when 'approval_asked' then 'turn ' || (v.data ->> 'turn') || ': ' || coalesce(v.data ->> 'of', 'anybody')
                                           || ' is asked ' || case when v.data ->> 'again' = 'true' then 'again ' else '' end
                                           || 'about ' || coalesce(v.data ->> 'name', 'a call')
                when 'approval_approved'  then coalesce(v.data ->> 'by', 'somebody') || ' approved the call of '
                                           || coalesce(v.data ->> 'name', 'a tool')
                                           || case when v.data ->> 'edited' = 'true' then ' with other arguments' else '' end
                when 'approval_denied'    then coalesce(v.data ->> 'by', 'somebody') || ' denied the call of '
                                           || coalesce(v.data ->> 'name', 'a tool')
                when 'approval_answered'  then coalesce(v.data ->> 'by', 'somebody') || ' answered '
                                           || coalesce(v.data ->> 'name', 'a question')
                when 'approval_escalated' then 'nobody decided in time; ' || coalesce(v.data ->> 'of', 'another group')
                                           || ' is asked about ' || coalesce(v.data ->> 'name', 'a call')
                when 'signalled'      then 'it was sent a word'
                when 'advised'        then 'the model is told what a person said about it'
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

-- How an execution stood after event `n`, before the next one. No row when there is no such event.
create or replace function tenure.execution_as_of(execution uuid, n integer)
returns table (id uuid, event integer, events integer, at timestamptz, kind text, agent text, version integer,
               status text, reason text, turn integer, messages integer, model_calls bigint, prompt_tokens bigint,
               completion_tokens bigint, started_at timestamptz, duration interval)
language sql stable as $$
    select e.id, p.seq, e.last_seq, p.at, p.kind, e.agent, e.version,
           coalesce(s.status, 'running'), s.reason, coalesce(m.turn, 0),
           coalesce((select max(g.n) from tenure.messages g where g.execution_id = e.id and g.at <= p.at), 0)
             - (select count(*) from tenure.later_at_once(execution, n) l
                 where l.kind in ('started', 'model_replied', 'tool_returned', 'tool_failed', 'call_refused', 'nudged',
                                  'signalled', 'approval_denied', 'approval_answered', 'advised'))::integer,
           u.calls, u.prompt, u.completion, least(e.created_at, o.at), p.at - least(e.created_at, o.at)
      from tenure.executions e
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

do $$ begin
    alter table tenure.approvals alter column arguments set compression lz4, alter column schema set compression lz4,
        alter column edited set compression lz4, alter column answer set compression lz4;
exception when feature_not_supported then null;
end $$;
