-- How every queue stands, for monitoring.
-- Returns: queue, domain, ready, leased, deferred, oldest_secs, live_workers
select queue, domain, ready, leased, deferred, live_workers,
       coalesce(extract(epoch from clock_timestamp() - oldest_ready), 0)::double precision as oldest_secs
  from tenure.queue_depth
 order by queue, domain
