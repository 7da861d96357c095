-- Cancel job $1, by $2. What is done stays done.
-- Returns: whether it was running (zero rows when there is no such job)
with cancelled as (
    update tenure.bulk_jobs
       set state = 'cancelled', ended_at = clock_timestamp(), ended_by = $2, updated_at = clock_timestamp()
     where id = $1 and state = 'running'
    returning id
)
select exists (select from cancelled) as is_cancelled from tenure.bulk_jobs where id = $1
