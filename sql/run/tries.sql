-- The newest 100 tries at one task of execution $1: kind $2, turn $3, call $4; newest first.
-- Returns: execution_id, attempt_id, kind, turn, call, attempt, name, status, worker, queue, domain, created_at, started_at,
-- ended_at, run_at, error, prompt_tokens, completion_tokens
select execution_id, attempt_id, kind, turn, call, attempt, left(name, 200) as name, status, left(worker, 200) as worker,
       left(queue, 200) as queue, left(domain, 200) as domain, created_at, started_at, ended_at, run_at,
       left(error, 2000) as error, prompt_tokens, completion_tokens
  from tenure.task_status
 where execution_id = $1 and kind = $2 and turn = $3 and call = $4
 order by attempt desc
 limit 100
