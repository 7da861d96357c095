-- What attempts $2 of execution $1 cost; attempts that are no answers of a model are left out.
-- Returns: attempt_id, currency, cost; null for what is not known
select attempt_id, currency, trim_scale(cost)::text as cost
  from tenure.model_call
 where execution_id = $1 and attempt_id = any($2)
