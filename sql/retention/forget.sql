-- Forget what nobody asks for any more: that a run was deleted, after 90 days; jobs of retention, 7 days after their end; and
-- what a worker logged about a run while it was being deleted.
with runs as (
    delete from tenure.deleted_runs where deleted_at < now() - interval '90 days'
), jobs as (
    delete from tenure.bulk_jobs where policy is not null and ended_at < now() - interval '7 days'
)
delete from tenure.task_logs l
 using tenure.deleted_runs d
 where d.deleted_at > now() - interval '3 hours' and l.execution_id = d.id
