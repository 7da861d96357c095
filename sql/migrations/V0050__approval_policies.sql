-- Rules of the house about approvals, asking back, and who may not decide for themselves.
--
--   approval_policies   which calls need a person, whatever their tool says: the first one that matches a call counts
--
-- A policy is read by servers, which decide by it when a model calls tools; what they decided stands in the run's event
-- `model_replied`, so that a fork of the run is told the same.
--
-- approvals.policy says which policy asked; not_requester, that whoever started the run can't approve it; a decision
-- `asked` is a person's question back: the call is not made, and the model is told their words.

create table tenure.approval_policies (
    name            text        primary key check (name <> '' and length(name) <= 100),
    position        integer     not null default 100,  -- policies are looked at from the lowest; the name decides between equals
    agent           text        not null default '*',  -- names, in which * stands for any text
    tool            text        not null default '*',
    mode            text        not null check (mode in ('always', 'never', 'when')),
    argument        text,                              -- of `when`: names with dots between them, as in order.amount
    above           double precision,
    equals          jsonb,
    waives          boolean     not null default false, -- of `never`: also calls of tools that ask by themselves
    of_group        text,
    quorum          smallint    not null default 1 check (quorum between 1 and 100),
    timeout_secs    double precision check (timeout_secs > 0),
    on_timeout      text        check (on_timeout in ('deny', 'approve', 'escalate')),
    escalate_to     text,
    not_requester   boolean     not null default false,
    set_at          timestamptz not null default now(),
    set_by          text        not null default session_user,
    constraint a_condition_says_of_what
        check ((mode = 'when') = (argument is not null) and (argument is null or num_nonnulls(above, equals) = 1)
               and (argument is not null or num_nonnulls(above, equals) = 0)),
    constraint only_what_never_asks_waives check (not waives or mode = 'never'),
    constraint who_is_asked_in_time_says_what_then check ((timeout_secs is null) = (on_timeout is null)),
    constraint escalates_to_somebody check ((on_timeout is not distinct from 'escalate') = (escalate_to is not null))
);

alter table tenure.approvals
    add column policy        text,
    add column not_requester boolean not null default false,
    drop constraint approvals_decision_check,
    add constraint approvals_decision_check
        check (decision in ('approved', 'denied', 'answered', 'asked', 'withdrawn')) not valid,
    add constraint whoever_asks_back_says_what check (decision is distinct from 'asked' or reason is not null) not valid;
alter table tenure.approval_votes
    drop constraint approval_votes_vote_check,
    add constraint approval_votes_vote_check check (vote in ('approve', 'deny', 'answer', 'ask')) not valid;

-- What became of an approval, as a sentence.
create or replace function tenure.fate_of(a tenure.approvals) returns text language sql stable as $$
    select case when a.decision is null then 'nobody has decided it yet'
                when a.decision = 'withdrawn' then 'it was withdrawn at ' || tenure.clock(a.decided_at) || coalesce(': ' || a.reason, '')
                when a.decision = 'asked' then a.decided_by || ' asked back at ' || tenure.clock(a.decided_at) || ': ' || left(a.reason, 500)
                else 'it was ' || a.decision || ' by ' || a.decided_by || ' at ' || tenure.clock(a.decided_at)
                     || case when a.edited is not null then ', with other arguments' else '' end
                     || coalesce(': ' || left(a.reason, 500), '') end
$$;

-- Decide an approval, as in V0031; further, `ask` asks back: the call is not made, and the model is told `reason`. Whoever
-- started the run can't approve or answer when the question says so.
create or replace function tenure.decide(
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
    starter  text;                                     -- who started the run, where that matters
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
    elsif decision is null or decision not in ('approve', 'deny', 'answer', 'ask') then
        message := 'a decision is approve, deny, answer or ask'; return;
    elsif decision = 'approve' and a.kind = 'question' then
        message := 'this is a question; answer it in words, or deny it'; return;
    elsif decision = 'answer' and a.kind = 'call' then
        message := 'this is a call; approve or deny it'; return;
    elsif decision = 'answer' and answer is null then
        message := 'an answer needs words'; return;
    elsif decision = 'deny' and said is null then
        message := 'whoever denies says why; the model is told'; return;
    elsif decision = 'ask' and said is null then
        message := 'whoever asks back says what; the model is told'; return;
    elsif arguments is not null and decision <> 'approve' then
        message := 'only an approval can change arguments'; return;
    elsif arguments is not null and json_typeof(arguments) <> 'object' then
        message := 'arguments are a JSON object'; return;
    elsif a.of_group is not null and via <> 'clock'
          and exists (select from tenure.group_members m where m.group_name = a.of_group)
          and not exists (select from tenure.group_members m where m.group_name = a.of_group and m.member = who) then
        message := who || ' does not belong to ' || a.of_group || ', whose decision it is'; return;
    end if;
    if a.not_requester and decision in ('approve', 'answer') and via <> 'clock' then
        select btrim(e.input ->> 'requested_by') into starter from tenure.executions e where e.id = a.execution_id;
        if lower(starter) = lower(who) then
            message := who || ' started this run, so somebody else decides' || coalesce(' of ' || a.of_group, ''); return;
        end if;
    end if;
    if exists (select from tenure.approval_votes v where v.execution_id = a.execution_id and v.approval_id = a.id
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
       set decision = case decide.decision when 'approve' then 'approved' when 'deny' then 'denied' when 'ask' then 'asked' else 'answered' end,
           decided_at = greatest(clock_timestamp(), p.asked_at), decided_by = who, decided_via = decide.via, reason = said,
           edited = decide.arguments,
           answer = case when decide.decision = 'answer'
                         then case when json_typeof(decide.answer) = 'object' then decide.answer
                                   else json_build_object('response', decide.answer) end end
     where p.execution_id = a.execution_id and p.id = a.id
    returning * into a;
    outcome := 'decided'; message := tenure.fate_of(a);
end $$;

-- One row per question, newest first when ordered by asked_at.
create or replace view tenure.approval as
select a.id, a.execution_id, a.agent, a.kind, a.tool,
       case when a.decision is not null then a.decision when a.expires_at <= now() then 'expiring' else 'pending' end as state,
       a.arguments, a.of_group, a.quorum,
       (select count(*) from tenure.approval_votes v where v.execution_id = a.execution_id and v.approval_id = a.id
           and v.round = a.round and v.vote = 'approve') as approved,
       a.asked_at, a.expires_at, a.on_expiry, a.escalate_to,
       a.decided_at, a.decided_by, a.decided_via, a.reason, a.edited, a.answer,
       coalesce(a.decided_at, now()) - a.asked_at as waited,
       a.turn, a.call, a.call_id, a.arguments_hash, a.description, a.schema, a.delivered_at, a.policy, a.not_requester
  from tenure.approvals a;

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
                when 'approval_denied'    then coalesce(v.data ->> 'by', 'somebody')
                                           || case when v.data ->> 'back' = 'true' then ' asked back about ' else ' denied the call of ' end
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
