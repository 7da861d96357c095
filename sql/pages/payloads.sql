-- What a task of execution $1 was given and what came of it: kind $2, turn $3, call $4. One row per attempt, oldest first.
-- Returns: attempt_id, input, output
select attempt_id, input, output
  from tenure.task_status
 where execution_id = $1 and kind = $2 and turn = $3 and call = $4
 order by attempt
