-- Up to $3 events of execution $1 from number $2 on, oldest first, each with what a stream shows of its attempt.
-- Returns: seq, kind, data, at, turn, name, call_id, and for what tools did: input, output, error
select v.seq, v.kind, v.data, v.at, t.turn, t.name, t.call_id,
       case when v.kind in ('tool_returned', 'tool_failed') then t.input end  as input,
       case when v.kind in ('tool_returned', 'tool_failed') then r.output end as output,
       case when v.kind in ('tool_returned', 'tool_failed') then r.error end  as error
  from tenure.events v
  left join tenure.tasks t   on t.execution_id = v.execution_id and t.id = v.attempt_id
  left join tenure.results r on r.execution_id = v.execution_id and r.attempt_id = v.attempt_id
 where v.execution_id = $1 and v.seq >= $2
 order by v.seq
 limit $3
