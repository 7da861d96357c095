-- Up to $3 events of execution $1 from number $2 on, oldest first, each with what a stream shows of its attempt, or of the
-- question to people that it is about; fewer when they are wide: none after $4 bytes, so that who reads slowly makes nobody
-- hold much.
-- Returns: seq, kind, data, at, turn, name, call_id, and for what tools and people did: input, output, error; for the first
-- question of its sort in a turn: asked, a list of what is asked
-- Plan: a range of the primary key; sizes are those on disk, nothing is unpacked for them.
select seq, kind, data, at, turn, name, call_id, input, output, error, asked
  from (
       select e.*, sum(coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(input), 0)
                       + coalesce(pg_column_size(output), 0) + coalesce(pg_column_size(error), 0))
                   over (order by seq rows between unbounded preceding and 1 preceding) as before
         from (
              select v.seq, v.kind, v.data, v.at, t.turn, t.name, coalesce(t.call_id, d.call_id) as call_id,
                     case when v.kind in ('tool_returned', 'tool_failed') then t.input else d.arguments end as input,
                     case when v.kind in ('tool_returned', 'tool_failed') then r.output else d.answer end   as output,
                     case when v.kind in ('tool_returned', 'tool_failed') then r.error else d.reason end    as error,
                     q.asked
                from tenure.events v
                left join tenure.tasks t   on t.execution_id = v.execution_id and t.id = v.attempt_id
                left join tenure.results r on r.execution_id = v.execution_id and r.attempt_id = v.attempt_id
                left join tenure.approvals d
                       on v.kind in ('approval_denied', 'approval_answered') and d.execution_id = v.execution_id
                      and d.id = case when v.kind in ('approval_denied', 'approval_answered')
                                      then (v.data ->> 'approval')::uuid end
                left join lateral (
                     select json_agg(json_build_object('kind', a.kind, 'turn', a.turn, 'call_id', a.call_id,
                                                       'name', a.tool, 'arguments', a.arguments,
                                                       'description', a.description) order by a.call) as asked
                       from tenure.approvals a
                      where v.kind = 'approval_asked' and v.data ->> 'first' = 'true'
                        and a.execution_id = v.execution_id and a.turn = (v.data ->> 'turn')::integer
                        and (a.id = (v.data ->> 'approval')::uuid
                             or (a.kind = 'call' and (select o.kind from tenure.approvals o
                                                       where o.execution_id = v.execution_id
                                                         and o.id = (v.data ->> 'approval')::uuid) = 'call'))) q
                       on v.kind = 'approval_asked'
               where v.execution_id = $1 and v.seq >= $2
               order by v.seq
               limit $3) e) sized
 where coalesce(before, 0) < $4
 order by seq
