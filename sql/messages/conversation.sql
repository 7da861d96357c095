-- The conversation of execution $1 behind message $2 up to message $3, as people and clients read it: each with what it refers to, and for
-- what a tool returned with the call that it answers.
-- Returns: role, turn, call, call_id, name, content, arguments, output, error
select m.role, m.turn, m.call, coalesce(m.call_id, t.call_id) as call_id, coalesce(m.name, t.name) as name, m.content,
       case when m.role = 'tool' then t.input end as arguments, r.output, r.error
  from tenure.messages m
  left join tenure.tasks t   on t.execution_id = m.execution_id and t.id = m.attempt_id
  left join tenure.results r on r.execution_id = m.execution_id and r.attempt_id = m.attempt_id
 where m.execution_id = $1 and m.n > $2 and m.n <= $3
 order by m.n
