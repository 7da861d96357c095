-- Which of queues $1 have something ready and are not paused.
select q.id
  from unnest($1::integer[]) as q (id)
  join tenure.queues n on n.id = q.id and n.paused_at is null
 where exists (select from tenure.queue c where c.queue_id = q.id and c.worker_id is null and not c.deferred)
