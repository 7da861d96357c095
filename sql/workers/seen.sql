-- Note that workers were heard of, one array each: $1 queue, $2 name, $3 seconds ago
-- Returns: queue_id, name, id
insert into tenure.workers (queue_id, name, kind, seen_at)
select queue_id, name, 'worker', clock_timestamp() - make_interval(secs => ago)
  from unnest($1::integer[], $2::text[], $3::double precision[]) as n (queue_id, name, ago)
    on conflict (queue_id, name) do update set seen_at = greatest(workers.seen_at, excluded.seen_at)
returning queue_id, name, id
