-- What these runs cost so far.
-- Returns: execution_id, currency, cost, calls; one row per currency, null for calls whose cost is not known
-- Plan: for each run a range of the results' primary key, then the tasks' primary key for each model call. Lateral on
-- purpose: for a thousand runs the planner would rather read all tasks there are.
select i.id as execution_id, c.currency, trim_scale(c.cost)::text as cost, c.calls
  from unnest($1::uuid[]) as i (id)
 cross join lateral (select currency, cost, calls from tenure.cost_by_run where execution_id = i.id offset 0) c
 order by i.id, c.currency
