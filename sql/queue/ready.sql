-- Which of queues $1 have something ready.
select q.id
  from unnest($1::integer[]) as q (id)
 where exists (select from tenure.queue c where c.queue_id = q.id and c.worker_id is null and not c.deferred)
