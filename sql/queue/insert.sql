-- Queue attempts: ready, deferred, or already leased to whoever can go on at once. What nobody may begin because its
-- queue is paused becomes ready instead.
--
-- Parameters, one array each: $1 execution, $2 attempt, $3 queue, $4 priority, $5 seconds until it may run
-- ('infinity' while paused), $6 worker that has it already, $7 seconds of its lease
-- Returns: attempt_id of those that were to be leased and wait
with wanted as (
    select n.execution_id, n.attempt_id, n.queue_id, n.priority, n.delay, n.lease, n.worker_id as wanted_by,
           case when q.paused_at is null then n.worker_id end as worker_id
      from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::double precision[], $6::bigint[],
                  $7::double precision[])
           as n (execution_id, attempt_id, queue_id, priority, delay, worker_id, lease)
      left join tenure.queues q on q.id = n.queue_id
), queued as (
    insert into tenure.queue (execution_id, attempt_id, queue_id, priority, run_at, deferred, worker_id, leased_at,
                              first_leased, lease_until, polls)
    select execution_id, attempt_id, queue_id, priority,
           case when delay = 'infinity' then 'infinity'::timestamptz
                else clock_timestamp() + make_interval(secs => delay) end,
           delay > 0 and worker_id is null, worker_id,
           case when worker_id is not null then clock_timestamp() end,
           case when worker_id is not null then clock_timestamp() end,
           case when worker_id is not null then clock_timestamp() + make_interval(secs => lease) end,
           case when worker_id is not null then 1 else 0 end
      from wanted
)
select attempt_id from wanted where wanted_by is not null and worker_id is null
