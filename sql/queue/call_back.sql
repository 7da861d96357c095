-- A worker asks to see an attempt again later: nobody has it until then, nor while its execution is paused.
--
-- Parameters: $1 execution, $2 attempt, $3 seconds, $4 name of the worker that asks (null: whoever has it)
-- Returns: queue_id. No row: it is not queued, or a worker has it now that another one, which also asks for this queue's
-- work, must not take it from (a repeated request of whoever had it before).
-- The execution is locked first, as committers do, so that a pause is either seen here or comes later and holds the row.
with execution as materialized (
    select status = 'paused' as is_paused from tenure.executions where id = $1 for share
)
update tenure.queue q
   set worker_id = null, leased_at = null, lease_until = null,
       deferred = e.is_paused or $3::double precision > 0,
       run_at = case when e.is_paused then 'infinity' else clock_timestamp() + make_interval(secs => $3::double precision) end
  from execution e
 where q.execution_id = $1 and q.attempt_id = $2
   and not exists (select from tenure.workers w where w.queue_id = q.queue_id and w.name = $4::text and w.id <> q.worker_id)
returning q.queue_id
