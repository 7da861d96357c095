-- Up to $1 attempts whose lease is over, or whose server is gone: its session lock has vanished, or it was not heard
-- of for $2 seconds.
--
-- Returns: execution_id, attempt_id, lease_until, worker, why ('silent' or 'gone')
-- The lock of a server that lives is in pg_locks (not in the first seconds of a Postgres that has just been started: give
-- servers time to come back); a lease is the fallback for half-open networks and poolers.
with alive as materialized (
    select objid::bigint as id
      from pg_locks
     where locktype = 'advisory' and classid = 7238 and granted
       and database = (select oid from pg_database where datname = current_database())
)
select q.execution_id, q.attempt_id, q.lease_until, w.name as worker,
       case when q.lease_until < clock_timestamp() then 'silent' else 'gone' end as why
  from tenure.queue q
  join tenure.workers w on w.id = q.worker_id
 where q.worker_id is not null
   and (q.lease_until < clock_timestamp()
        or (w.kind = 'server' and w.has_lock and w.id not in (select id from alive)
            and clock_timestamp() > pg_postmaster_start_time() + interval '5 s')
        or (w.kind = 'server' and w.seen_at < clock_timestamp() - make_interval(secs => $2::double precision)))
 limit $1
