-- Executions have taken notice of decisions $2, one array each: $1 execution, $2 approval, $3 time
update tenure.approvals a
   set delivered_at = greatest(n.at, a.decided_at)
  from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as n (execution_id, id, at)
 where a.execution_id = n.execution_id and a.id = n.id and a.delivered_at is null
