-- Keep what waits of executions $1 from being handed out.
update tenure.queue
   set run_at = 'infinity', deferred = true
 where execution_id = any($1::uuid[]) and worker_id is null
