-- Who last polled which queue. Parameters: $1 queue name (null: all)
-- Returns: queue, domain, worker, seen_at
select n.name as queue, n.domain, w.name as worker, w.seen_at
  from tenure.workers w
  join tenure.queues n on n.id = w.queue_id
 where w.kind = 'worker' and ($1::text is null or n.name = $1)
 order by n.name, n.domain, w.seen_at desc
