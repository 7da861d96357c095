-- A refused result left its event and was not accepted after all.
select v.execution_id, v.attempt_id from tenure.events v
 where v.kind = 'result_refused'
   and exists (select from tenure.events w where w.execution_id = v.execution_id and w.attempt_id = v.attempt_id
                  and w.kind in ('tool_returned', 'checked') and w.seq > v.seq)
