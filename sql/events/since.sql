-- Up to $3 events of execution $1 from number $2 on, oldest first, each with what a stream shows of its attempt; fewer when
-- they are wide: after 64 kB nothing more, so that who reads slowly makes nobody hold much.
-- Returns: seq, kind, data, at, turn, name, call_id, and for what tools did: input, output, error
-- Plan: a range of the primary key; sizes are those on disk, nothing is unpacked for them.
select seq, kind, data, at, turn, name, call_id, input, output, error
  from (select v.seq, v.kind, v.data, v.at, t.turn, t.name, t.call_id, s.input, s.output, s.error,
               sum(coalesce(pg_column_size(s.input), 0) + coalesce(pg_column_size(s.output), 0))
                   over (order by v.seq rows between unbounded preceding and 1 preceding) as before
          from tenure.events v
          left join tenure.tasks t   on t.execution_id = v.execution_id and t.id = v.attempt_id
          left join tenure.results r on r.execution_id = v.execution_id and r.attempt_id = v.attempt_id
         cross join lateral (select case when v.kind in ('tool_returned', 'tool_failed') then t.input end,
                                    case when v.kind in ('tool_returned', 'tool_failed') then r.output end,
                                    case when v.kind in ('tool_returned', 'tool_failed') then r.error end)
                            as s (input, output, error)
         where v.execution_id = $1 and v.seq >= $2
         order by v.seq
         limit $3) e
 where coalesce(before, 0) < 65536
 order by seq
