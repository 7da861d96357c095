-- Take note that what is due by these policies is looked for now: those for which that was not done within $1 seconds, and for
-- which no job is running.
-- Returns: name, filter, keep_secs, export
update tenure.retention_policies p
   set looked_at = clock_timestamp()
 where p.name in (select r.name from tenure.retention_policies r
                   where (r.looked_at > clock_timestamp() - make_interval(secs => $1::double precision)) is not true
                     and not exists (select from tenure.bulk_jobs j where j.state = 'running' and j.policy = r.name)
                   for update skip locked)
returning p.name, p.filter, extract(epoch from p.keep)::float8 as keep_secs, p.export
