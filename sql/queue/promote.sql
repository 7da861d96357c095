-- Make up to $1 deferred attempts ready whose time has come.
-- Returns: queue_id of each
-- Plan: by key, as in take.sql.
with due as materialized (
    select execution_id, attempt_id
      from tenure.queue
     where deferred and run_at <= clock_timestamp()
     order by run_at
     limit $1
       for update skip locked
)
update tenure.queue q
   set deferred = false, run_at = clock_timestamp()
  from due
 where q.execution_id = any(array[due.execution_id]) and q.attempt_id = due.attempt_id
returning q.queue_id
