-- What execution $1 has cost so far, in numbers. Lines of workers are counted to 10,001.
-- Returns: model_calls, prompt_tokens, completion_tokens, attempts, failed, working (seconds in which something ran), lines
-- Plan: one pass over the narrow columns of its results
select u.model_calls, u.prompt_tokens, u.completion_tokens,
       (select count(*) from tenure.tasks t where t.execution_id = $1) as attempts, u.failed,
       (select coalesce(sum(extract(epoch from upper(r) - lower(r))), 0)::double precision
          from unnest(u.ran) as r) as working,
       (select count(*) from (select from tenure.task_logs l where l.execution_id = $1 limit 10001) l) as lines
  from (select count(*) filter (where kind = 'model' and outcome = 'completed') as model_calls,
               coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
               coalesce(sum(completion_tokens), 0)::bigint as completion_tokens,
               count(*) filter (where outcome in ('failed', 'gave_up', 'lost')) as failed,
               range_agg(ran) as ran
          from (select kind, outcome, prompt_tokens, completion_tokens,
                       tstzrange(started_at, ended_at) as ran
                  from tenure.results where execution_id = $1
                 union all
                select null, null, null, null, tstzrange(first_leased, greatest(first_leased, now()))
                  from tenure.queue where execution_id = $1 and worker_id is not null) o) u
