-- What is compared of execution $1 as a whole; long texts are cut.
-- Returns: id, agent, version, model, status, reason, prompt, result, turns, events, created_at
select e.id, e.agent, e.version, v.definition ->> 'model' as model, e.status, left(e.reason, 1000) as reason,
       case when pg_column_size(e.input) < 4000000 then left(e.input ->> 'prompt', 4000) end as prompt,
       case when pg_column_size(e.output) < 4000000 then left(e.output ->> 'result', 4000) end as result,
       coalesce((p.state ->> 'turn')::integer, 0) as turns, p.events, e.created_at
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
  join tenure.agent_versions v on v.name = e.agent and v.version = e.version
 where e.id = $1
