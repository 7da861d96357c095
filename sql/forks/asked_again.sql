-- Which call attempt $2 of replay $1 is, and how much was said in both runs so far.
-- Returns: turn, call, original, messages (of the replay), recorded (messages of the original)
select t.turn, t.call, e.forked_from as original,
       coalesce((select max(n) from tenure.messages m where m.execution_id = e.id), 0) as messages,
       coalesce((select max(n) from tenure.messages m where m.execution_id = e.forked_from), 0) as recorded
  from tenure.tasks t
  join tenure.executions e on e.id = t.execution_id
 where t.execution_id = $1 and t.id = $2
