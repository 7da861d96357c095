-- What the time of executions $1 was spent on: the first $2 attempts of each.
-- Returns: as run/attempts.sql
select s.execution_id, s.attempt_id, s.kind, s.turn, s.call, s.attempt, s.name, s.status, s.worker, s.queue, s.domain,
       s.created_at, s.started_at, s.ended_at, s.run_at, null::text as error, s.prompt_tokens, s.completion_tokens
  from unnest($1::uuid[]) as e (id)
 cross join lateral (select * from tenure.task_status t where t.execution_id = e.id order by t.attempt_id limit $2) s
