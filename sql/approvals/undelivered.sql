-- What was decided about executions $1 and did not reach them yet, in the order in which it was decided.
select execution_id, id, kind, turn, call, tool, decision, decided_at, decided_by, decided_via, reason, arguments, edited, answer, schema
  from tenure.approvals
 where execution_id = any($1::uuid[]) and decision is not null and delivered_at is null
 order by decided_at, id
