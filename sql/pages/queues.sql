-- The page of queues, longest wait first. Parameter: $1 seconds that it looks back
select id, queue, domain, state, ready, leased, deferred, oldest_ready, next_due, held_back_by, live_workers, last_seen,
       last_worker, paused_at, paused_by, pause_reason, started, failed, started_per_min, failed_share, wait_p50_secs,
       wait_p95_secs, ready_series
  from tenure.queue_status(make_interval(secs => $1::double precision))
 order by oldest_ready nulls last, next_due nulls last, last_seen desc nulls last, queue, domain
 limit 200
