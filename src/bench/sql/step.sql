-- Every row that one step of ours writes, for many executions at once, in one statement, without deciding anything: an
-- attempt leaves the queue with its result, two events, a message and the next attempt.
--
-- $1 executions, $2 attempts that end, $3 attempts that follow, $4 number of the step in its execution,
-- $5 input, $6 output, $7 state, $8 who has the following attempts already (null: they are ready)
with o as materialized (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[]) as o (execution_id, before, attempt_id, n)
), taken as (
    delete from bench.queue q using o where q.execution_id = o.execution_id and q.attempt_id = o.before
), result as (
    insert into bench.results (execution_id, attempt_id, kind, turn, call, outcome, output, worker, polls, started_at, ended_at)
    select execution_id, before, 'tool', n, 0, 'completed', $6::json, 'worker-1', 1, now(), now() from o
), event as (
    insert into bench.events (execution_id, seq, kind, attempt_id, data, at, state)
    select execution_id, 2 * n, 'tool_returned', before, null::json, now(), null::json from o
    union all
    select execution_id, 2 * n + 1, 'model_called', attempt_id, '{"turn":3}'::json, now(), $7::json from o
), message as (
    insert into bench.messages (execution_id, n, role, turn, call, attempt_id, at)
    select execution_id, n, 'tool', n, 0, before, now() from o
), task as (
    insert into bench.tasks (execution_id, id, kind, turn, call, attempt, name, call_id, queue_id, input, created_at)
    select execution_id, attempt_id, 'tool', n, 0, 1, 'bench_tool', 'call_0123456789abcdef', 1, $5::json, now() from o
)
insert into bench.queue (execution_id, attempt_id, queue_id, run_at, worker_id, leased_at, first_leased, lease_until, polls)
select execution_id, attempt_id, 1, now(), $8::bigint, case when $8::bigint is not null then now() end,
       case when $8::bigint is not null then now() end,
       case when $8::bigint is not null then now() + interval '1 hour' end,
       case when $8::bigint is not null then 1 else 0 end
  from o
