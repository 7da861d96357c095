-- All retention policies.
-- Returns: name, filter, keep_secs, export, set_at, set_by, looked_at, deleted, last_at, and the bulk job that works for it
select p.name, p.filter, extract(epoch from p.keep)::float8 as keep_secs, p.export, p.set_at, p.set_by, p.looked_at, p.deleted,
       p.last_at, (select j.id from tenure.bulk_jobs j where j.state = 'running' and j.policy = p.name limit 1) as job
  from tenure.retention_policies p
 order by p.name
