-- Attempts of execution $1, newest first: $3 of them before attempt $2.
-- Returns: execution_id, attempt_id, kind, turn, call, attempt, name, status, worker, queue, domain, created_at, started_at,
-- ended_at, run_at, error, prompt_tokens, completion_tokens
-- Plan: attempts' ids sort by time, so a page is a range of the primary key of tenure.tasks
select execution_id, attempt_id, kind, turn, call, attempt, left(name, 200) as name, status, left(worker, 200) as worker,
       left(queue, 200) as queue, left(domain, 200) as domain, created_at, started_at, ended_at, run_at,
       left(error, 2000) as error, prompt_tokens, completion_tokens
  from tenure.task_status
 where execution_id = $1 and attempt_id < $2
 order by attempt_id desc
 limit $3
