-- Every attempt of execution $1.
-- Returns: id, retry_of, queue_id, kind, turn, call
select id, retry_of, queue_id, kind, turn, call from tenure.tasks where execution_id = $1 order by created_at, id
