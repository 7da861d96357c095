-- Add what this server has handed out since it last did so, and how much is ready right now, to the statistics.
--
-- Parameters: $1 server; one array each: $2 queue, $3 attempts handed out, $4 attempts that failed, $5 waits as text of an
-- array (see tenure.wait_quantile)
with counted as (
    select queue_id, started, failed, waits::integer[] as waits
      from unnest($2::integer[], $3::integer[], $4::integer[], $5::text[]) as c (queue_id, started, failed, waits)
), stands as (
    select queue_id, coalesce(c.started, 0) as started, coalesce(c.failed, 0) as failed, coalesce(r.ready, 0)::integer as ready,
           coalesce(c.waits, '{}') as waits
      from counted c full join tenure.ready_counts(10000) r using (queue_id)
)
insert into tenure.queue_stats as s (minutes, since, queue_id, server, started, failed, ready, waits)
select p.minutes, date_bin(make_interval(mins => p.minutes), now(), 'epoch'), queue_id, $1, started, failed, ready, waits
  from stands cross join (values (1), (15), (120)) as p (minutes)
    on conflict (minutes, since, queue_id, server) do update
   set started = s.started + excluded.started,
       failed  = s.failed + excluded.failed,
       ready   = greatest(s.ready, excluded.ready),
       waits   = tenure.add_waits(s.waits, excluded.waits)
