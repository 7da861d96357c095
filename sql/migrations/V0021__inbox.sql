-- Messages into a run are read by tools that wait for them.
--
--   inbox.n          the order of their arrival
--   inbox.taken_by   the attempt whose output holds it; a message is in one output at most
--
-- A call that waits for a message is a row of the queue 'tenure.inbox', held until one comes; nobody polls that queue.
-- why_waiting and timeline_page know messages and copies; what they say of everything else is as it was.

alter table tenure.inbox
    add column n        bigint generated always as identity,
    add column taken_by uuid;
create index inbox_unread on tenure.inbox (execution_id, n) where taken_by is null;

alter view tenure.why_waiting rename to why_work_waits;

-- One row per reason. `hint` says what somebody could do about it; null when nothing needs doing.
create view tenure.why_waiting as
select execution_id, code, text, queue, since, hint from tenure.why_work_waits
union all
select q.execution_id, 'message', '''' || t.name || ''' waits for a message since ' || tenure.clock(t.created_at),
       n.name, t.created_at,
       'send one: tenure agent send ' || q.execution_id || ' ''{"message": "…"}'''
  from tenure.queue q
  join tenure.executions e on e.id = q.execution_id and e.status = 'running'
  join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
  join tenure.queues n on n.id = q.queue_id and n.name = 'tenure.inbox'
 where q.worker_id is null;

alter function tenure.timeline_page(uuid, integer, integer) rename to told;

-- What happened to an execution from event `first` to event `last`, oldest first.
create function tenure.timeline_page(execution uuid, first integer, last integer)
returns table (seq integer, at timestamptz, kind text, what text, task text, attempt integer, worker text, error text,
               attempt_id uuid)
language sql stable as $$
    select t.seq, t.at, t.kind,
           case t.kind
                when 'forked'           then 'from here on it is a run of its own: '
                                             || case v.data ->> 'as' when 'restart' then 'the input is ' when 'retry' then 'a retry of '
                                                                     else 'what is before is ' end
                                             || coalesce(v.data ->> 'from', 'another run')
                                             || case v.data ->> 'as' when 'retry' then '' else '''s' end
                                             || coalesce(', by ' || (v.data ->> 'by'), '')
                when 'message_received' then 'a message came in' || coalesce(' from ' || (v.data ->> 'by'), '')
                else t.what end,
           t.task, t.attempt, t.worker, t.error, t.attempt_id
      from tenure.told(execution, first, last) t
      left join tenure.events v on v.execution_id = execution and v.seq = t.seq and t.kind in ('forked', 'message_received')
     order by t.seq
$$;
