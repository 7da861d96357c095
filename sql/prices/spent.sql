-- What was spent on days $1 to $2 (UTC), by $3 (day, agent or model), at most $4 rows: the newest day or the most first.
-- Returns: what, currency, cost, calls, prompt_tokens, cached_tokens, completion_tokens; null currency for unknown costs
-- Plan: results_by_day, then the primary keys of tasks and executions for each model call of those days.
select what, currency, trim_scale(sum(cost))::text as cost, sum(calls)::bigint as calls,
       sum(prompt_tokens)::bigint as prompt_tokens, coalesce(sum(cached_tokens), 0)::bigint as cached_tokens,
       sum(completion_tokens)::bigint as completion_tokens
  from (select case $3 when 'day' then day::text when 'agent' then agent else model end as what, d.*
          from tenure.cost_by_day d
         where day between $1::date and $2::date) d
 group by what, currency
 order by case when $3 = 'day' then what end desc, sum(cost) desc nulls last, sum(prompt_tokens + completion_tokens) desc, what
 limit $4
