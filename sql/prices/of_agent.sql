-- What the newest $2 runs of agent $1 cost.
-- Returns: currency, cost, calls; one row per currency, null for calls whose cost is not known
select currency, trim_scale(sum(cost))::text as cost, sum(calls)::bigint as calls
  from tenure.cost_by_run
 where execution_id = any(array(select id from tenure.executions where agent = $1 order by id desc limit $2))
 group by currency
 order by currency
