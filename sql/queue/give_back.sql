-- Give attempts back that were leased but never reached their worker, as if nobody had asked; of a paused execution, they
-- are held.
--
-- Parameters, one array each: $1 execution, $2 attempt, $3 worker, $4 how often it had been handed out then, so that a later
-- lease of the same worker is not the one given back
-- Returns: queue_id of each
-- Executions are locked first, in the committers' order, so that a pause is either seen here or comes later and holds the row.
-- Plan: by key, as in take.sql; `is not distinct from` keeps queue_leased out, which has all that the worker ever had.
with executions as materialized (
    select id, status = 'paused' as is_paused from tenure.executions where id = any($1::uuid[]) order by id for share
)
update tenure.queue q
   set worker_id = null, leased_at = null, lease_until = null,
       first_leased = case when q.polls > 1 then q.first_leased end, polls = q.polls - 1,
       deferred = e.is_paused, run_at = case when e.is_paused then 'infinity' else q.run_at end
  from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::integer[]) as o (execution_id, attempt_id, worker_id, polls)
  join executions e on e.id = o.execution_id
 where q.execution_id = any(array[o.execution_id]) and q.attempt_id = o.attempt_id
   and q.worker_id is not distinct from o.worker_id and q.polls = o.polls
returning q.queue_id
