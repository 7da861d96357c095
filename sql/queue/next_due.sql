-- Seconds until the next deferred attempt is due or the next execution is overdue; null when there is none.
select extract(epoch from least(
           (select min(run_at) from tenure.queue where deferred and run_at < 'infinity'),
           (select min(deadline) from tenure.executions where deadline is not null and ended_at is null)
       ) - clock_timestamp())::double precision as secs
