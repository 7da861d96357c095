-- Replays: runs whose tools only tell again what they returned to the original. And a cancelled run says by whom.

alter table tenure.executions
    drop constraint executions_forked_as_check,
    add constraint executions_forked_as_check check (forked_as in ('fork', 'retry', 'restart', 'rerun', 'replay'));

-- What happened to an execution from event `first` to event `last`, oldest first.
create or replace function tenure.timeline_page(execution uuid, first integer, last integer)
returns table (seq integer, at timestamptz, kind text, what text, task text, attempt integer, worker text, error text,
               attempt_id uuid)
language sql stable as $$
    select t.seq, t.at, t.kind,
           case t.kind
                when 'forked'           then 'from here on it is a run of its own: '
                                             || case v.data ->> 'as' when 'restart' then 'the input is ' when 'retry' then 'a retry of '
                                                                     when 'replay' then 'the input and what tools return are '
                                                                     else 'what is before is ' end
                                             || coalesce(v.data ->> 'from', 'another run')
                                             || case v.data ->> 'as' when 'retry' then '' else '''s' end
                                             || coalesce(', by ' || (v.data ->> 'by'), '')
                when 'message_received' then 'a message came in' || coalesce(' from ' || (v.data ->> 'by'), '')
                when 'terminated'       then t.what || coalesce(', by ' || (v.data ->> 'by'), '')
                else t.what end,
           t.task, t.attempt, t.worker, t.error, t.attempt_id
      from tenure.told(execution, first, last) t
      left join tenure.events v on v.execution_id = execution and v.seq = t.seq and t.kind in ('forked', 'message_received', 'terminated')
     order by t.seq
$$;
