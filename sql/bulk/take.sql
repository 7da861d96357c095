-- Let server $1 take on jobs that nobody sees to, for $2 seconds.
-- Returns: id, action, filter, reason, started_by, rate, keep_secs, export, policy, cursor, created_at
update tenure.bulk_jobs j
   set worker_id = $1, lease_until = clock_timestamp() + make_interval(secs => $2::double precision)
 where j.id in (select id from tenure.bulk_jobs
                 where state = 'running' and (worker_id is null or lease_until < clock_timestamp())
                 order by id limit 4 for update skip locked)
returning j.id, j.action, j.filter, j.reason, j.started_by, j.rate, extract(epoch from j.keep)::float8 as keep_secs,
          j.export, j.policy, j.cursor, j.created_at
