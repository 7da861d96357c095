-- What the newest $1 executions cost that started in the last 24 hours. Nothing while there are no prices.
-- Returns: currency, cost, calls; one row per currency, null for calls whose cost is not known
select currency, trim_scale(sum(cost))::text as cost, sum(calls)::bigint as calls
  from tenure.cost_by_run
 where execution_id = any(array(select id from tenure.executions
                                 where id >= tenure.id_at(now() - interval '24 hours') order by id desc limit $1))
   and exists (select from tenure.prices)
 group by currency
 order by currency
