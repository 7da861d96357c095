-- Executions of the floor, each with one attempt in the queue.
-- $1 executions, $2 attempts, $3 who has them (null: they are ready)
with o as materialized (
    select * from unnest($1::uuid[], $2::uuid[]) as o (execution_id, attempt_id)
), queued as (
    insert into bench.queue (execution_id, attempt_id, queue_id, run_at, worker_id, leased_at, first_leased, lease_until, polls)
    select execution_id, attempt_id, 1, now(), $3::bigint, case when $3::bigint is not null then now() end,
           case when $3::bigint is not null then now() end,
           case when $3::bigint is not null then now() + interval '1 hour' end, 0
      from o
)
insert into bench.executions (id, agent, version, status, input, context)
select execution_id, 'bench', 1, 'running', '{"prompt":"go","media":[],"context":{},"session_id":"","cwd":"."}', '{}'
  from o
