-- What must hold whatever was killed, once nothing is going on any more. Each query returns what breaks it: no rows.
-- `accepted` holds the executions whose start a client was told of.

-- an accepted execution is never lost
select a.id from accepted a where not exists (select from tenure.executions e where e.id = a.id);

-- one start key starts one execution that lives or has succeeded
select agent, start_key, count(*) from tenure.executions
 where start_key is not null and status in ('running', 'paused', 'completed') group by 1, 2 having count(*) > 1;

-- a task is accepted once, however many attempts it takes
select execution_id, kind, turn, call, count(*) from tenure.results
 where outcome in ('completed', 'gave_up') group by 1, 2, 3, 4 having count(*) > 1;

-- the accepted attempt is the newest one, and its event was written once
select r.execution_id, r.attempt_id, r.kind, t.attempt from tenure.results r
  join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
 where r.outcome in ('completed', 'gave_up')
   and (exists (select from tenure.tasks n
                 where n.execution_id = t.execution_id and (n.kind, n.turn, n.call) = (t.kind, t.turn, t.call) and n.attempt > t.attempt)
        or (r.outcome = 'completed'
            and (select count(*) from tenure.events v
                  where v.execution_id = r.execution_id and v.attempt_id = r.attempt_id
                    and v.kind in ('model_replied', 'tool_returned', 'checked')) <> 1));

-- every task of a completed execution was accepted
select t.execution_id, t.kind, t.turn, t.call from tenure.tasks t
  join tenure.executions e on e.id = t.execution_id and e.status = 'completed'
 group by 1, 2, 3, 4
having not exists (select from tenure.results r where r.execution_id = t.execution_id
                      and (r.kind, r.turn, r.call) = (t.kind, t.turn, t.call) and r.outcome in ('completed', 'gave_up'));

-- attempts of a task are numbered from 1 without gaps
select execution_id, kind, turn, call from tenure.tasks
 group by 1, 2, 3, 4 having count(*) <> max(attempt) or min(attempt) <> 1 or count(distinct attempt) <> count(*);

-- an attempt is either in the queue or has a result, never both and never neither
select t.execution_id, t.id, t.kind, t.attempt from tenure.tasks t
  left join tenure.queue q   on q.execution_id = t.execution_id and q.attempt_id = t.id
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
 where (q.attempt_id is null) = (r.attempt_id is null);

-- nothing is queued or has a result that was never a task
select q.execution_id, q.attempt_id from tenure.queue q
 where not exists (select from tenure.tasks t where t.execution_id = q.execution_id and t.id = q.attempt_id)
union all
select r.execution_id, r.attempt_id from tenure.results r
 where not exists (select from tenure.tasks t where t.execution_id = r.execution_id and t.id = r.attempt_id);

-- events are numbered from 1 without gaps, and the counter agrees
select e.id, e.last_seq, x.many, x.newest from tenure.executions e
 cross join lateral (select count(*) as many, coalesce(max(seq), 0) as newest, min(seq) as oldest
                       from tenure.events v where v.execution_id = e.id) x
 where x.many <> x.newest or x.oldest is distinct from 1 or e.last_seq <> x.newest;

-- time never runs backwards inside an execution
select execution_id, seq from (
       select execution_id, seq, at, lag(at) over (partition by execution_id order by seq) as before from tenure.events) v
 where at < before;

-- an execution that has ended has one event that says so, the last one; a live one has none
select e.id, e.status from tenure.executions e
 where (select count(*) from tenure.events v where v.execution_id = e.id
           and v.kind in ('completed', 'failed', 'terminated', 'timed_out')) <> (e.ended_at is not null)::int
union all
select e.id, v.kind from tenure.executions e
  join tenure.events v on v.execution_id = e.id and v.kind in ('completed', 'failed', 'terminated', 'timed_out')
 where v.kind <> e.status
    or exists (select from tenure.events w where w.execution_id = e.id and w.seq > v.seq and w.kind <> 'result_refused');

-- messages are numbered from 1 without gaps, and the state agrees
select e.id from tenure.executions e
 cross join lateral (select count(*) as many, coalesce(max(n), 0) as newest from tenure.messages m where m.execution_id = e.id) x
 where x.many <> x.newest or (e.state ->> 'messages')::int <> x.many;

-- no lease outlives its time
select execution_id, attempt_id, lease_until from tenure.queue where lease_until < clock_timestamp() - interval '10 s';

-- nothing waits under an execution that has ended, and no live one waits for nothing
select q.execution_id, e.status from tenure.queue q join tenure.executions e on e.id = q.execution_id where e.ended_at is not null
union all
select e.id, e.status from tenure.executions e
 where e.ended_at is null and not exists (select from tenure.queue q where q.execution_id = e.id);

-- a live execution says what it waits for
select e.id from tenure.executions e
 where e.ended_at is null and not exists (select from tenure.why_waiting w where w.execution_id = e.id);

-- a refused result left its event and was not accepted after all
select v.execution_id, v.attempt_id from tenure.events v
 where v.kind = 'result_refused'
   and exists (select from tenure.events w where w.execution_id = v.execution_id and w.attempt_id = v.attempt_id
                  and w.kind in ('tool_returned', 'checked') and w.seq > v.seq);

-- what a run copied is what the other one has, without gaps, and the next event says where it came from
select f.id, f.forked_from from tenure.executions f
 where f.forked_from is not null
   and ((select count(*) from tenure.events v where v.execution_id = f.id and v.seq <= f.forked_at) <> f.forked_at
        or not exists (select from tenure.events v where v.execution_id = f.id and v.seq = f.forked_at + 1 and v.kind = 'forked')
        or exists (select from tenure.events v
                     join tenure.events o on o.execution_id = f.forked_from and o.seq = v.seq
                    where v.execution_id = f.id and v.seq <= f.forked_at
                      and (v.kind, v.at, v.data::text) is distinct from (o.kind, o.at, o.data::text)));

-- nothing that was copied is done again, and its result is the one of the original
select t.execution_id, t.id from tenure.tasks t
  join tenure.queue q on q.execution_id = t.execution_id and q.attempt_id = t.id
 where t.copy_of is not null
union all
select r.execution_id, r.attempt_id from tenure.results r
  join tenure.executions f on f.id = r.execution_id
 where r.copy_of is not null
   and not exists (select from tenure.results o where o.execution_id = f.forked_from and o.attempt_id = r.copy_of
                      and (o.kind, o.turn, o.call, o.outcome) = (r.kind, r.turn, r.call, r.outcome));
