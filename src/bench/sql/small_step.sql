-- The smallest step that there could be, for many runs at once: a narrow queue row goes, one comes, one event of 130 bytes.
-- $1 ids that end, $2 ids that follow, $3 runs, $4 steps
with o as materialized (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[]) as o (before, id, run_id, step)
), taken as (
    delete from bench.small_queue q using o where q.id = o.before
), event as (
    insert into bench.small_events (run_id, seq, at, data) select run_id, step, now(), repeat('x', 130) from o
)
insert into bench.small_queue (id, run_id, step, queue, priority, run_at, owner)
select id, run_id, step + 1, 1, 0, now(), 1 from o
