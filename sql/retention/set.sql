-- Set a retention policy, or replace the one of its name: $1 name, $2 filter, $3 seconds, $4 whether runs are exported; by $5.
-- A job that works for the one before ends.
with ended as (
    update tenure.bulk_jobs
       set state = 'cancelled', ended_at = clock_timestamp(), ended_by = $5, updated_at = clock_timestamp()
     where policy = $1 and state = 'running'
)
insert into tenure.retention_policies (name, filter, keep, export, set_by)
values ($1, $2, make_interval(secs => $3::double precision), $4, $5)
    on conflict (name) do update
   set filter = excluded.filter, keep = excluded.keep, export = excluded.export, set_at = excluded.set_at,
       set_by = excluded.set_by, looked_at = null
