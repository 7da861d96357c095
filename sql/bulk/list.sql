-- The newest $2 bulk jobs, or job $1 alone.
-- Returns: id, action, filter, reason, started_by, rate, keep_secs, export, policy, state, expected, matched, done, skipped,
-- failed, note, server, created_at, updated_at, ended_at, ended_by, why
select id, action, filter, reason, started_by, rate, keep_secs, export, policy, state, expected, matched, done, skipped, failed, note, server, created_at,
       updated_at, ended_at, ended_by, why
  from tenure.bulk_job
 where $1::uuid is null or id = $1
 order by id desc
 limit $2
