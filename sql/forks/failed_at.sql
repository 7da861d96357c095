-- After which event execution $1, which has ended, is to go on: where the task was called that it failed of, or before
-- its end when nothing of it failed.
-- Returns: seq
select case when e.status = 'failed'
            then coalesce((select max(v.seq) from tenure.events v
                            where v.execution_id = e.id and v.kind in ('model_called', 'check_called')), p.events - 1)
            else (select max(v.seq) from tenure.events v
                   where v.execution_id = e.id and v.kind in ('completed', 'failed', 'terminated', 'timed_out')) - 1 end as seq
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where e.id = $1
