-- What the newest $2 runs of agent $1 cost.
-- Returns: currency, cost, calls; one row per currency, null for calls whose cost is not known
-- Plan: a range of executions_by_agent, then as in of_runs.
select c.currency, trim_scale(sum(c.cost))::text as cost, sum(c.calls)::bigint as calls
  from (select id from tenure.executions where agent = $1 order by id desc limit $2) i
 cross join lateral (select currency, cost, calls from tenure.cost_by_run where execution_id = i.id offset 0) c
 group by c.currency
 order by c.currency
