-- How much waits, by queue. Parameters: $1 names (null: all)
-- Returns: queue, domain, ready, deferred, leased
select queue, domain, ready, deferred, leased
  from tenure.queue_depth
 where $1::text[] is null or queue = any($1)
 order by queue, domain
