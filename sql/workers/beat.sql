-- A server's heartbeat. Parameters: $1 its id, $2 whether it holds its session lock
update tenure.workers set seen_at = clock_timestamp(), has_lock = $2 where id = $1
