-- What a run costs is found in time that grows with its calls, and not with their square.
--
-- Each model call looks up its own task. As a join, the planner could compare all calls of a run with all of its tasks when
-- most runs are short and one is very long.

create or replace view tenure.cost_by_run as
select u.execution_id,
       case when c.cost is not null then p.currency end as currency,
       sum(c.cost)                         as cost,
       sum(u.calls)::bigint                as calls,
       sum(u.prompt)::bigint               as prompt_tokens,
       sum(u.cached)::bigint               as cached_tokens,
       sum(u.completion)::bigint           as completion_tokens
  from (select r.execution_id, tenure.model_name(t.name) as model, max(r.ended_at) as at, count(*) as calls, sum(r.prompt_tokens) as prompt,
               sum(r.cached_tokens) as cached, sum(r.completion_tokens) as completion
          from tenure.results r
         cross join lateral (select n.name from tenure.tasks n
                              where n.execution_id = r.execution_id and n.id = r.attempt_id limit 1) t
         where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null
         group by r.execution_id, 2, width_bucket(r.ended_at, (select tenure.price_changes())),
                  r.prompt_tokens + r.completion_tokens > 0) u
  left join lateral tenure.price_of(u.model, u.at) p on true
 cross join lateral tenure.cost_of(u.prompt, u.cached, u.completion, p.prompt, p.cached, p.completion) as c (cost)
 group by u.execution_id, 2;
