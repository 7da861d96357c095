-- How one queue was served. Parameters: $1 its name, $2 its domain, $3 seconds to look back
select at, minutes, ready, started, failed, wait_p50_secs, wait_p95_secs
  from tenure.queue_history($1, $2, make_interval(secs => $3::double precision))
