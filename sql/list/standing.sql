-- How many executions are live, how many failed, how much work is going on: each counted up to $1.
-- Returns: running, paused, failed, steps, workers
-- Plan: the beginning of ranges of executions_by_status and of queue_leased.
select (select count(*) from (select from tenure.executions where status = 'running' limit $1) e) as running,
       (select count(*) from (select from tenure.executions where status = 'paused' limit $1) e)  as paused,
       (select count(*)
          from (      (select from tenure.executions where status = 'failed' limit $1)
            union all (select from tenure.executions where status = 'timed_out' limit $1)
                limit $1) e) as failed,
       w.steps, w.workers
  from (select count(*) as steps, count(distinct worker_id) as workers
          from (select worker_id from tenure.queue where worker_id is not null limit $1) q) w
