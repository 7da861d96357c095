-- A worker asks to see an attempt again later: nobody has it until then.
--
-- Parameters: $1 execution, $2 attempt, $3 seconds
-- Returns: queue_id
update tenure.queue
   set worker_id = null, leased_at = null, lease_until = null,
       deferred = $3::double precision > 0, run_at = clock_timestamp() + make_interval(secs => $3::double precision)
 where execution_id = $1 and attempt_id = $2
returning queue_id
