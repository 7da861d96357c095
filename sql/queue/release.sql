-- Hand out again what was held of executions $1.
-- Returns: queue_id of each row that became ready
update tenure.queue
   set run_at = clock_timestamp(), deferred = false
 where execution_id = any($1::uuid[]) and worker_id is null and run_at = 'infinity'
   and queue_id not in (select id from tenure.queues where name = 'tenure.inbox')   -- waits for a message, held or not
returning queue_id
