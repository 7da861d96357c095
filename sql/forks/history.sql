-- What happened to execution $1 up to event $2, as far as it decided anything: payloads travel only where the state, the
-- shared context or the next request is made of them.
-- Returns: seq, what, attempt_id, data, kind, turn and call (of the attempt; null when there is none), output, error
select v.seq, v.kind as what, v.attempt_id, v.data, t.kind, t.turn, t.call, r.error,
       case when v.kind = 'model_replied' or v.kind = 'tool_returned' and r.output::text like '%"\_state\_updates"%'
            then r.output end as output
  from tenure.events v
  left join tenure.tasks t   on t.execution_id = v.execution_id and t.id = v.attempt_id
  left join tenure.results r on r.execution_id = v.execution_id and r.attempt_id = v.attempt_id
 where v.execution_id = $1 and v.seq <= $2
 order by v.seq
