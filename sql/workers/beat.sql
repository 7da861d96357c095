-- A server's heartbeat: it lives, and whether its session lock shows it. Parameter: $1 its id
-- Returns: has_lock
update tenure.workers
   set seen_at  = clock_timestamp(),
       has_lock = exists (select from pg_locks
                           where locktype = 'advisory' and classid = 7238 and objid = $1::bigint::oid and granted
                             and database = (select oid from pg_database where datname = current_database()))
 where id = $1
returning has_lock
