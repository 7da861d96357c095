-- What run/work.sql says, of execution $1 as it stood after event $2. Lines are not counted.
-- Returns: attempts, failed, working
select count(*) as attempts, count(*) filter (where status in ('failed', 'gave_up', 'lost')) as failed,
       (select coalesce(sum(extract(epoch from upper(r) - lower(r))), 0)::double precision
          from unnest(range_agg(tstzrange(a.started_at, greatest(a.started_at, coalesce(a.ended_at, p.at))))
                      filter (where a.started_at is not null)) as r) as working
  from tenure.attempts_as_of($1, $2) a
 cross join (select at from tenure.events where execution_id = $1 and seq = $2) p
