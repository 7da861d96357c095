-- Begin a bulk job, once per key.
--
-- Parameters: $1 id, $2 action, $3 filter, $4 reason, $5 who, $6 rate, $7 how many are expected, $8 the run before which it
-- begins to look, $9 idempotency key; to delete: $10 seconds since the end, $11 whether runs are exported, $12 retention policy
-- Returns: its id, or that of the one with the key (zero rows: that one was committed a moment ago; ask again)
with begun as (
    insert into tenure.bulk_jobs (id, action, filter, reason, started_by, rate, expected, cursor, start_key, keep, export, policy)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, make_interval(secs => $10::double precision), $11, $12)
    on conflict (start_key) do nothing
    returning id
)
select id from begun
union all
select id from tenure.bulk_jobs where start_key = $9
