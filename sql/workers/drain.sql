-- A server takes no new work any more. Parameter: $1 its id
update tenure.workers set draining_since = coalesce(draining_since, clock_timestamp()) where id = $1
