-- Forget all runs of a database that nobody else uses, also what may never be deleted.
begin;
set local session_replication_role = replica;
delete from tenure.approval_votes;
delete from tenure.approvals;
delete from tenure.queue;
delete from tenure.results;
delete from tenure.tasks;
delete from tenure.events;
delete from tenure.messages;
delete from tenure.executions;
commit;
