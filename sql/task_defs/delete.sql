-- Forget the definition of task $1; its queue and what waits there stay.
delete from tenure.task_defs where name = $1
