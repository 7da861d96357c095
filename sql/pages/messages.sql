-- The newest $2 messages of execution $1, newest first, each with the attempt that it refers to.
-- Returns: n, role, at, name, content, output, error, prompt_tokens, completion_tokens
select m.n, m.role, m.at, coalesce(m.name, t.name) as name, m.content, r.output, left(r.error, 2000) as error,
       r.prompt_tokens, r.completion_tokens
  from tenure.messages m
  left join tenure.tasks t   on t.execution_id = m.execution_id and t.id = m.attempt_id
  left join tenure.results r on r.execution_id = m.execution_id and r.attempt_id = m.attempt_id
 where m.execution_id = $1
 order by m.n desc
 limit $2
