-- Remove retention policy $1, by $2. A job that works for it ends.
with ended as (
    update tenure.bulk_jobs
       set state = 'cancelled', ended_at = clock_timestamp(), ended_by = $2, updated_at = clock_timestamp()
     where policy = $1 and state = 'running'
)
delete from tenure.retention_policies where name = $1
