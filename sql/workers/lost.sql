-- An attempt was lost with a worker. Parameter: $1 the worker
update tenure.workers
   set lost_attempts = case when lost_at > seen_at then lost_attempts else 0 end + 1, lost_at = clock_timestamp()
 where id = $1
