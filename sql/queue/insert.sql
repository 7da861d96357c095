-- Queue attempts: ready, deferred, or already leased to whoever can go on at once. What nobody may begin because its
-- queue is paused becomes ready instead.
--
-- Parameters, one array each: $1 execution, $2 attempt, $3 queue, $4 priority, $5 seconds until it may run
-- ('infinity' while paused), $6 worker that has it already, $7 seconds of its lease (null: what the task's definition says,
-- and the worker is told what claim.sql tells it)
-- Returns: of those that were to be leased, each that waits (is_leased is false, and only attempt_id counts), and each that
-- a worker has by its definition, with all that claim.sql returns but its slot
with wanted as (
    select n.execution_id, n.attempt_id, n.queue_id, n.priority, n.delay, n.worker_id as wanted_by, n.lease is null as is_told,
           coalesce(n.lease, d.response_timeout_secs, 3600)::double precision as lease,
           case when n.lease is null then nullif(d.timeout_secs, 0)::double precision end as whole,
           case when q.paused_at is null then n.worker_id end as worker_id, q.name as queue, q.domain
      from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::double precision[], $6::bigint[],
                  $7::double precision[])
           as n (execution_id, attempt_id, queue_id, priority, delay, worker_id, lease)
      left join tenure.queues q on q.id = n.queue_id
      left join tenure.task_defs d on n.worker_id is not null and n.lease is null and d.name = q.name
), queued as (
    insert into tenure.queue (execution_id, attempt_id, queue_id, priority, run_at, deferred, worker_id, leased_at,
                              first_leased, lease_until, polls)
    select execution_id, attempt_id, queue_id, priority,
           case when delay = 'infinity' then 'infinity'::timestamptz
                else clock_timestamp() + make_interval(secs => delay) end,
           delay > 0 and worker_id is null, worker_id,
           case when worker_id is not null then clock_timestamp() end,
           case when worker_id is not null then clock_timestamp() end,
           case when worker_id is not null then clock_timestamp() + make_interval(secs => least(lease, whole)) end,
           case when worker_id is not null then 1 else 0 end
      from wanted
    returning execution_id, attempt_id, run_at, leased_at, first_leased, polls
)
select w.attempt_id, w.worker_id is not null as is_leased, w.execution_id, w.queue_id, w.priority, w.worker_id, w.lease,
       w.queue, w.domain, q.run_at, q.leased_at, q.first_leased, q.polls,
       t.kind, t.turn, t.call, t.attempt, t.losses, t.name, t.call_id, t.input, t.retry_of, t.created_at,
       e.agent, e.version, e.context, e.start_key, e.input as execution_input
  from wanted w
  left join queued q on q.execution_id = w.execution_id and q.attempt_id = w.attempt_id
  left join tenure.tasks t on w.worker_id is not null and t.execution_id = w.execution_id and t.id = w.attempt_id
  left join tenure.executions e on w.worker_id is not null and e.id = w.execution_id
 where w.wanted_by is not null and (w.worker_id is null or w.is_told)
