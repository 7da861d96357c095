-- What a call of a replay came to in its original: the same tool with the same arguments, as often as the replay has called
-- it by then; the last one again when the original did so less often.
--
-- Parameters: $1 the replay, $2 its attempt
-- Returns: is_completed, output, error (zero rows when the original never made that call)
with asked as (
    select t.name, t.input::jsonb as input, t.turn, t.call, e.forked_from as original
      from tenure.tasks t
      join tenure.executions e on e.id = t.execution_id
     where t.execution_id = $1 and t.id = $2
), before as (
    select count(distinct (t.turn, t.call)) as many
      from asked a
      join tenure.tasks t on t.execution_id = $1 and t.kind = 'tool' and t.name = a.name and t.input::jsonb = a.input
                         and (t.turn, t.call) < (a.turn, a.call)
), recorded as (
    select r.outcome = 'completed' as is_completed, r.output, r.error,
           row_number() over (order by t.turn, t.call) as n, count(*) over () as many
      from asked a
      join tenure.tasks t on t.execution_id = a.original and t.kind = 'tool' and t.name = a.name and t.input::jsonb = a.input
      join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
     where r.outcome in ('completed', 'gave_up')
)
select r.is_completed, r.output, r.error
  from recorded r, before b
 where r.n = least(b.many + 1, r.many)
