-- Forget workers that were not heard of for a day and have nothing leased.
delete from tenure.workers w
 where w.seen_at < clock_timestamp() - interval '1 day'
   and not exists (select from tenure.queue q where q.worker_id = w.id)
