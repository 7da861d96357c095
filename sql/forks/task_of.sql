-- The task that attempt $2 of execution $1 was a try at.
-- Returns: kind, turn, call
select kind, turn, call from tenure.tasks where execution_id = $1 and id = $2
