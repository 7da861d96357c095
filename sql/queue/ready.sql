-- Where queues $1 that are not paused begin: what is ready and would be claimed first.
--
-- Returns: id, priority, run_at; no row of a queue that has nothing ready
-- Plan: queue_ready per queue. It walks what is dead and can't be cleaned up yet, so who asks often asks less when it takes long.
select q.id, c.priority, c.run_at
  from unnest($1::integer[]) as q (id)
  join tenure.queues n on n.id = q.id and n.paused_at is null
 cross join lateral (
        select c.priority, c.run_at
          from tenure.queue c
         where c.queue_id = q.id and c.worker_id is null and not c.deferred
         order by c.priority, c.run_at, c.attempt_id
         limit 1) c
