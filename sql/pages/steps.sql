-- The newest $2 attempts of execution $1 without what they were given and what they produced, newest first.
-- Returns: execution_id, attempt_id, kind, turn, call, attempt, name, status, worker, queue, domain, created_at, started_at,
-- ended_at, run_at, error, prompt_tokens, completion_tokens
select execution_id, attempt_id, kind, turn, call, attempt, name, status, worker, queue, domain, created_at, started_at,
       ended_at, run_at, left(error, 2000) as error, prompt_tokens, completion_tokens
  from tenure.task_status
 where execution_id = $1
 order by turn desc, case kind when 'model' then 0 when 'tool' then 1 else 2 end desc, call desc, attempt desc
 limit $2
