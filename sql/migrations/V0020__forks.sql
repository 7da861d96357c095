-- Runs that go on from another run: a copy of its history up to an event, then a life of its own.
--
--   executions.forked_from …   which run it goes on from, after which event of it, and in which way
--   tasks.copy_of, results.copy_of   the attempt of the original that a copied row tells of: nothing of it ran again
--   forks                      one row per such run, for both directions: what became of it, and what it came from
--
-- The original is only read. What was open at that event is queued anew under the new run; its tools get other
-- idempotency keys. A restart is a fork at event 0: nothing is copied but the input.

alter table tenure.executions
    add column forked_from uuid,
    add column forked_at   integer,
    add column forked_as   text check (forked_as in ('fork', 'retry', 'restart', 'rerun')),
    add constraint a_fork_knows_where_it_began
        check ((forked_from is null) = (forked_at is null) and (forked_from is null) = (forked_as is null)
               and forked_at >= 0 and forked_from <> id);
create index executions_forks on tenure.executions (forked_from, id) where forked_from is not null;

alter table tenure.tasks   add column copy_of uuid;
alter table tenure.results add column copy_of uuid;

create function tenure.refuse_another_origin() returns trigger language plpgsql as $$
begin
    raise exception 'execution % goes on from %; where a run came from stays', old.id, coalesce(old.forked_from::text, 'no other')
        using errcode = 'check_violation';
end $$;

create trigger where_it_came_from_stays before update of forked_from, forked_at, forked_as on tenure.executions
    for each row when ((old.forked_from, old.forked_at, old.forked_as) is distinct from (new.forked_from, new.forked_at, new.forked_as))
    execute function tenure.refuse_another_origin();

-- One row per run that goes on from another one.
create view tenure.forks as
select e.id,
       e.forked_from,
       e.forked_at,
       e.forked_as,
       e.agent,
       e.version,
       e.status,
       e.reason,
       e.created_at,
       e.ended_at,
       v.data ->> 'by'                     as forked_by
  from tenure.executions e
  left join tenure.events v on v.execution_id = e.id and v.seq = e.forked_at + 1
 where e.forked_from is not null;

-- A copied event is older than the run that it stands in; the run's time counts from the first.
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
                                  'signalled'))::integer,
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
