-- Forget all runs of a database that nobody else uses.
with queued as (delete from tenure.queue),
     results as (delete from tenure.results),
     tasks as (delete from tenure.tasks),
     events as (delete from tenure.events),
     messages as (delete from tenure.messages)
delete from tenure.executions
