-- What was decided about questions $1.
select execution_id, id, kind, turn, call, tool, decision, decided_at, decided_by, decided_via, reason, arguments, edited, answer, schema
  from tenure.approvals
 where id = any($1::uuid[]) and decision is not null
