-- Up to $1 approvals that something must be done about: their time is over, or what was decided has not reached its execution.
-- Returns: execution_id, id, and whether its time is over
(select execution_id, id, true as over from tenure.approvals
  where decision is null and expires_at <= clock_timestamp() order by expires_at limit $1)
union all
(select execution_id, id, false from tenure.approvals
  where decision is not null and delivered_at is null order by decided_at limit $1)
