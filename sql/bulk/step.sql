-- Write down what a step of a job came to.
--
-- Parameters: $1 job, $2 server, $3 seconds of its lease, $4 where it got to, $5 done, $6 skipped, $7 failed, $8 a note (null:
-- nothing new), $9 whether that was all, $10 where it had got to before, so that no step is counted twice
-- Returns: state (zero rows when somebody else sees to it by now, or this step is written down already)
-- What was done counts also when the job was cancelled meanwhile, and for the retention policy that began it.
with stepped as (
    update tenure.bulk_jobs
       set cursor = $4, done = done + $5, skipped = skipped + $6, failed = failed + $7, matched = matched + $5 + $6 + $7,
           note = coalesce($8, note), updated_at = clock_timestamp(),
           lease_until = clock_timestamp() + make_interval(secs => $3::double precision),
           state = case when state = 'running' and $9 then 'done' else state end,
           ended_at = case when state = 'running' and $9 then clock_timestamp() else ended_at end
     where id = $1 and worker_id = $2 and cursor = $10
    returning state, policy
), counted as (
    update tenure.retention_policies p
       set deleted = deleted + $5, last_at = clock_timestamp()
      from stepped s
     where p.name = s.policy and $5 > 0
)
select state from stepped
