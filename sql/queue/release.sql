-- Hand out again what was held of executions $1.
-- Returns: queue_id of each row that became ready
update tenure.queue
   set run_at = clock_timestamp(), deferred = false
 where execution_id = any($1::uuid[]) and worker_id is null and run_at = 'infinity'
returning queue_id
