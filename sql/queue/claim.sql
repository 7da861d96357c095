-- Lease ready attempts to the workers that wait for them, oldest first within priority.
--
-- Parameters, one array each: $1 queue, $2 priority and $3 run_at to look from (nulls: from the beginning; a low-water mark, so
-- that dead index entries of a busy queue are not walked again), $4 how many at most;
-- then one array element per free slot: $5 queue, $6 number of the slot in its queue from 1, $7 worker,
-- $8 seconds of the lease (null: what the task's definition says)
-- Returns: everything that a worker must know of each attempt; nothing of a queue that is paused
-- Plan: queue_ready per queue by `lateral` (an `= any` with `order by` would sort all that is ready); materialized,
--       because inlined the planner may run the limited select more than once. Then by key, as in take.sql.
with picked as materialized (
    select m.execution_id, m.attempt_id, q.queue_id, row_number() over (partition by q.queue_id
                                                                        order by m.priority, m.run_at, m.attempt_id) as slot
      from unnest($1::integer[], $2::smallint[], $3::timestamptz[], $4::bigint[]) as q (queue_id, priority, run_at, many)
      join tenure.queues o on o.id = q.queue_id and o.paused_at is null
     cross join lateral (
            select c.execution_id, c.attempt_id, c.priority, c.run_at
              from tenure.queue c
             where c.worker_id is null and not c.deferred
               and c.queue_id = q.queue_id
               and (c.priority, c.run_at) >= (coalesce(q.priority, -32768), coalesce(q.run_at, '-infinity'))
             order by c.priority, c.run_at, c.attempt_id
             limit q.many
               for update skip locked) m
), slots as (
    select s.queue_id, s.slot, s.worker_id, coalesce(s.lease, d.response_timeout_secs, 3600) as lease,
           nullif(d.timeout_secs, 0)::double precision as whole
      from unnest($5::integer[], $6::bigint[], $7::bigint[], $8::double precision[]) as s (queue_id, slot, worker_id, lease)
      join tenure.queues n on n.id = s.queue_id
      left join tenure.task_defs d on d.name = n.name
), leased as (
    update tenure.queue c
       set worker_id    = s.worker_id,
           leased_at    = clock_timestamp(),
           first_leased = coalesce(c.first_leased, clock_timestamp()),
           lease_until  = least(clock_timestamp() + make_interval(secs => s.lease),
                                coalesce(c.first_leased, clock_timestamp()) + make_interval(secs => s.whole)),
           polls        = c.polls + 1
      from picked p
      join slots s on s.queue_id = p.queue_id and s.slot = p.slot
     where c.execution_id = any(array[p.execution_id]) and c.attempt_id = p.attempt_id
    returning c.execution_id, c.attempt_id, c.queue_id, c.priority, c.run_at, c.worker_id, c.leased_at, c.first_leased,
              c.polls, s.slot, s.lease
)
select l.execution_id, l.attempt_id, l.queue_id, l.priority, l.run_at, l.worker_id, l.leased_at, l.first_leased, l.polls,
       l.slot, l.lease, t.kind, t.turn, t.call, t.attempt, t.losses, t.name, t.call_id, t.input, t.retry_of, t.created_at,
       e.agent, e.version, e.context, e.start_key, n.name as queue, n.domain, e.input as execution_input
  from leased l
  join tenure.tasks t on t.execution_id = l.execution_id and t.id = l.attempt_id
  join tenure.executions e on e.id = l.execution_id
  join tenure.queues n on n.id = l.queue_id
 order by l.queue_id, l.slot
