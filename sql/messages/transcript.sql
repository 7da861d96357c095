-- The conversation of execution $1 up to message $2, each with what it refers to.
-- Returns: n, role, turn, call, call_id, name, content, output, error, outcome (of the attempt referred to)
select m.n, m.role, m.turn, m.call, m.call_id, m.name, m.content, r.output, r.error, r.outcome
  from tenure.messages m
  left join tenure.results r on r.execution_id = m.execution_id and r.attempt_id = m.attempt_id
 where m.execution_id = $1 and m.n <= $2
 order by m.n
