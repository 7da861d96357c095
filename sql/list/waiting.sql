-- How many running executions wait for somebody who is not there, or for their next try; looks at up to $1 attempts of each.
-- Returns: stuck, retrying, either
-- Plan: the beginning of a range of queue_ready for each queue without workers, and of queue_deferred.
with waits as materialized (
    (select q.execution_id, true as stuck
       from tenure.queues n
      cross join lateral tenure.queue_served(n.id) served
      cross join lateral (
            select execution_id from tenure.queue
             where queue_id = n.id and worker_id is null and not deferred limit $1) q
      where not served.live
      limit $1)
    union all
    (select execution_id, false
       from tenure.queue
      where deferred and run_at < 'infinity' and polls = 0
      limit $1))
select count(distinct execution_id) filter (where stuck)     as stuck,
       count(distinct execution_id) filter (where not stuck) as retrying,
       count(distinct execution_id)                          as either
  from waits
 where exists (select from tenure.executions e where e.id = execution_id and e.status = 'running')
