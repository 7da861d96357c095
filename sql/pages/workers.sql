-- The workers and servers of the page of queues, living ones first.
select worker, kind, state, queues, queue_count, first_seen, seen_at, leased, lost_attempts, lost_at, draining_since,
       working_on
  from tenure.worker_status
 order by array_position(array['live', 'draining', 'lost', 'stopped'], state), kind desc, worker
 limit 200
