-- Up to $1 attempts whose lease is over, whose server is gone (its session lock has vanished, or it was not heard of for $2
-- seconds), or that server $3 was given $4 seconds ago without hearing of it: it performs $5 alone.
--
-- Parameters also: $6 leases that ended longer ago than so many seconds are known to be none (null: nothing is known)
-- Returns: execution_id, attempt_id, lease_until, worker_id, worker, seen_at, why ('silent', 'gone' or 'forgotten')
-- The lock of a server that lives is in pg_locks, unless its connection is just being made again: a server that notices
-- that says so by a heartbeat, and who looks here believes it only at the second look. Locks are not yet there in the first
-- seconds of a Postgres that has just been started. A lease is the fallback for half-open networks and poolers. Attempts
-- are forgotten when a commit or a claim went through and its answer was lost; that is looked for when $6 is null.
-- Plan: a range of queue_leased for each worker, so that what is dead and can't be cleaned up, because somebody holds an
-- old snapshot open, is not walked over again and again.
with alive as materialized (
    select objid::bigint as id
      from pg_locks
     where locktype = 'advisory' and classid = 7238 and granted
       and database = (select oid from pg_database where datname = current_database())
), gone as materialized (
    select w.id
      from tenure.workers w
     where w.kind = 'server' and w.id <> $3
       and (w.seen_at < clock_timestamp() - make_interval(secs => $2::double precision)
            or (w.has_lock and w.id not in (select id from alive)
                and clock_timestamp() > pg_postmaster_start_time() + interval '5 s'))
)
select q.execution_id, q.attempt_id, q.lease_until, w.id as worker_id, w.name as worker, w.seen_at, q.why
  from tenure.workers w
 cross join lateral (
       (select q.execution_id, q.attempt_id, q.lease_until, 'silent' as why
          from tenure.queue q
         where q.worker_id = w.id and q.lease_until < now()
           and q.lease_until >= coalesce(now() - make_interval(secs => $6::double precision), '-infinity')
         order by q.lease_until)
       union all
       (select q.execution_id, q.attempt_id, q.lease_until, 'gone'
          from tenure.queue q
         where w.id in (select id from gone) and q.worker_id = w.id and q.lease_until >= now())
       union all
       (select q.execution_id, q.attempt_id, q.lease_until, 'forgotten'
          from tenure.queue q
         where $6 is null and w.id = $3 and q.worker_id = w.id and q.lease_until >= now()
           and q.leased_at < clock_timestamp() - make_interval(secs => $4::double precision)
           and q.attempt_id <> all($5::uuid[]))) q
 limit $1
