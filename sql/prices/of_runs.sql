-- What these runs cost so far.
-- Returns: execution_id, currency, cost, calls; one row per currency, null for calls whose cost is not known
-- Plan: a range of the results' primary key for each run, the tasks' primary key for each model call.
select execution_id, currency, trim_scale(cost)::text as cost, calls
  from tenure.cost_by_run
 where execution_id = any($1)
 order by execution_id, currency
