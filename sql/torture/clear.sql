-- Forget all runs of a database that nobody else uses, also what may never be deleted: in a transaction whose
-- session_replication_role is replica, so that nothing watches.
with votes     as (delete from tenure.approval_votes),
     approvals as (delete from tenure.approvals),
     queue     as (delete from tenure.queue),
     results   as (delete from tenure.results),
     tasks     as (delete from tenure.tasks),
     events    as (delete from tenure.events),
     messages  as (delete from tenure.messages),
     inbox     as (delete from tenure.inbox),
     logs      as (delete from tenure.task_logs),
     jobs      as (delete from tenure.bulk_jobs),
     deleted   as (delete from tenure.deleted_runs),
     past      as (delete from tenure.past_calls)
delete from tenure.executions
