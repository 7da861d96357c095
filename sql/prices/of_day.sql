-- What the newest $1 executions cost that started in the last 24 hours. Nothing while there are no prices.
-- Returns: currency, cost, calls; one row per currency, null for calls whose cost is not known
-- Plan: the end of the primary key, then as in of_runs.
select c.currency, trim_scale(sum(c.cost))::text as cost, sum(c.calls)::bigint as calls
  from (select id from tenure.executions
         where id >= tenure.id_at(now() - interval '24 hours') and exists (select from tenure.prices)
         order by id desc limit $1) i
 cross join lateral (select currency, cost, calls from tenure.cost_by_run where execution_id = i.id offset 0) c
 group by c.currency
 order by c.currency
