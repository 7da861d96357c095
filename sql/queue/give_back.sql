-- Give attempts back that were leased but never reached their worker, as if nobody had asked.
--
-- Parameters, one array each: $1 execution, $2 attempt, $3 worker
-- Returns: queue_id of each
update tenure.queue q
   set worker_id = null, leased_at = null, lease_until = null,
       first_leased = case when q.polls > 1 then q.first_leased end, polls = q.polls - 1
  from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as o (execution_id, attempt_id, worker_id)
 where q.execution_id = o.execution_id and q.attempt_id = o.attempt_id and q.worker_id = o.worker_id
returning q.queue_id
