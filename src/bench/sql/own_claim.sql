-- What a worker with a connection of its own does first: lease the oldest ready attempt to itself.
-- $1 worker
-- Returns: execution_id, attempt_id, number of the step
update bench.queue q
   set worker_id = $1::bigint, leased_at = now(), first_leased = now(), lease_until = now() + interval '1 hour', polls = 1
 where (q.execution_id, q.attempt_id) = (
           select execution_id, attempt_id from bench.queue
            where queue_id = 1 and worker_id is null and not deferred
            order by queue_id, priority, run_at, attempt_id
            limit 1
              for update skip locked)
returning q.execution_id, q.attempt_id, (select (coalesce(max(v.seq), 0) / 2)::integer from bench.events v where v.execution_id = q.execution_id)
