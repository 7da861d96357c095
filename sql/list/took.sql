-- How long the newest $1 completed executions of the last 24 hours took.
-- Returns: p50, p95 in seconds; null when there are none
-- Plan: the end of a range of executions_by_status.
select percentile_cont(0.5)  within group (order by secs) as p50,
       percentile_cont(0.95) within group (order by secs) as p95
  from (select extract(epoch from ended_at - created_at)::double precision as secs
          from tenure.executions
         where status = 'completed' and id >= tenure.id_at(now() - interval '24 hours')
         order by id desc
         limit $1) e
