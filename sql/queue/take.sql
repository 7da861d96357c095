-- Take the queue rows of attempts whose outcome has arrived: the fence that lets each outcome in once.
--
-- Parameters, one array each: $1 execution, $2 attempt, $3 worker that must have it (null: whoever has it),
-- $4 lease end that it must still have (null: any)
-- Does nothing unless the transaction has been opened (src/runtime/commit.rs): statements are sent without waiting for its
-- `begin`, and if that fails, they must not commit one by one.
-- Returns: what the attempt was, and who had it since when (by id: workers are updated all the time, so a lookup has more and
-- more dead versions to pass over while somebody holds a snapshot open). An attempt that does not come back was too late.
-- Plan: `= any(array[…])` finds each row by its key, however few live rows statistics know of. An equality could also be met by
--       walking the whole key in its order, which looks as cheap after a vacuum that found nothing live, and passes over
--       every dead version that somebody's snapshot keeps.
with taken as (
    delete from tenure.queue q
     using unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) as o (execution_id, attempt_id, worker_id, lease_until)
     where q.execution_id = any(array[o.execution_id])
       and q.attempt_id   = o.attempt_id
       and (o.worker_id   is null or q.worker_id = o.worker_id)
       and (o.lease_until is null or q.lease_until = o.lease_until)
       and current_setting('tenure.deciding', true) = 'on'
    returning q.*
)
select t.execution_id, t.id, t.kind, t.turn, t.call, t.attempt, t.losses, t.name, t.call_id, t.queue_id,
       taken.polls, taken.worker_id, coalesce(taken.first_leased, taken.leased_at) as started_at,
       case when d.retries_given then d.retry_count      end as retry_count,
       case when d.retries_given then d.retry_logic      end as retry_logic,
       case when d.retries_given then d.retry_delay_secs end as retry_delay_secs,
       d.backoff_scale
  from taken
  join tenure.tasks t on t.execution_id = taken.execution_id and t.id = taken.attempt_id
  left join tenure.task_defs d on d.name = t.name and t.kind <> 'model'
