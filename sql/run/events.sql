-- What happened to execution $1 from event $2 to event $3, oldest first, as sentences.
-- Returns: seq, at, kind, what, task, attempt, worker, error, attempt_id
-- Plan: a range of the primary key of tenure.events
select seq, at, kind, left(what, 600) as what, left(task, 200) as task, attempt, left(worker, 200) as worker,
       left(error, 2000) as error, attempt_id
  from tenure.timeline_page($1, $2, $3)
