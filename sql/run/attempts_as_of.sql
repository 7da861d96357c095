-- Attempts of execution $1 as they stood after event $2, newest first: $4 of them before attempt $3.
-- Returns: execution_id, attempt_id, kind, turn, call, attempt, name, status, worker, queue, domain, created_at, started_at,
-- ended_at, run_at, error, prompt_tokens, completion_tokens
-- Plan: the same range as run/attempts.sql, walked from the newest attempt
select execution_id, attempt_id, kind, turn, call, attempt, left(name, 200) as name, status, left(worker, 200) as worker,
       left(queue, 200) as queue, left(domain, 200) as domain, created_at, started_at, ended_at, run_at,
       left(error, 2000) as error, prompt_tokens, completion_tokens
  from tenure.attempts_as_of($1, $2)
 where attempt_id < $3
 order by attempt_id desc
 limit $4
