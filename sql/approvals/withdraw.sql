-- Executions have ended, one array each: $1 execution, $2 why. What they still ask is withdrawn at $3; what was decided and
-- had not reached them stays as it was decided.
update tenure.approvals a
   set decision     = coalesce(a.decision, 'withdrawn'),
       decided_at   = coalesce(a.decided_at, greatest($3::timestamptz, a.asked_at)),
       decided_by   = coalesce(a.decided_by, 'the run'),
       decided_via  = coalesce(a.decided_via, 'run'),
       reason       = case when a.decision is null then n.reason else a.reason end,
       delivered_at = greatest($3::timestamptz, a.asked_at, a.decided_at)
  from unnest($1::uuid[], $2::text[]) as n (execution_id, reason)
 where a.execution_id = n.execution_id and a.delivered_at is null
