-- What happened to execution $1, as sentences.
-- Returns: seq, at, kind, what, task, attempt, worker, error, attempt_id
select seq, at, kind, what, task, attempt, worker, error, attempt_id from tenure.timeline($1)
