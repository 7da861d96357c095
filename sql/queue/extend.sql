-- Extend the lease of an attempt by what its definition says from now, never beyond the time that it may take in all; the
-- row stays in its page.
--
-- Parameters: $1 execution, $2 attempt
-- Returns: one row when somebody has the attempt
update tenure.queue q
   set lease_until = least(
           clock_timestamp() + make_interval(secs => coalesce(d.response_timeout_secs, 3600)::double precision),
           case when d.timeout_secs > 0 then q.first_leased + make_interval(secs => d.timeout_secs::double precision) end)
  from tenure.queues n
  left join tenure.task_defs d on d.name = n.name
 where q.execution_id = $1 and q.attempt_id = $2 and q.worker_id is not null and n.id = q.queue_id
returning q.attempt_id
