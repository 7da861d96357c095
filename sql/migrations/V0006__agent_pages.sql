-- How agents do: what their pages show, for psql as well.
--
--   agent_figures(name, n)   one row of figures over an agent's newest n runs
--   agent_summary            one row per agent: its current version, and its figures over its newest 200 runs
--
-- Both cost what the newest runs cost, however many runs there are.

-- Runs that have not ended, by agent.
create index executions_live_by_agent on tenure.executions (agent, id) where ended_at is null;

-- `live` counts all runs that have not ended, up to 1000; everything else is about the newest `newest` runs, times and
-- medians about those of them that have ended.
create function tenure.agent_figures(name text, newest integer)
returns table (runs bigint, live bigint, ended bigint, completed bigint, last_run timestamptz, median_duration interval,
               p95_duration interval, tokens bigint, median_tokens bigint, median_turns integer)
language sql stable as $$
    select count(*),
           (select count(*)
              from (select from tenure.executions l where l.agent = agent_figures.name and l.ended_at is null limit 1000) l),
           count(r.ended_at),
           count(*) filter (where r.status = 'completed'),
           max(r.created_at),
           percentile_cont(0.5)  within group (order by r.ended_at - r.created_at),
           percentile_cont(0.95) within group (order by r.ended_at - r.created_at),
           coalesce(sum(r.tokens), 0)::bigint,
           percentile_disc(0.5) within group (order by r.tokens) filter (where r.ended_at is not null),
           percentile_disc(0.5) within group (order by r.turn)   filter (where r.ended_at is not null)
      from (select e.status, e.created_at, e.ended_at, (e.state ->> 'turn')::integer as turn,
                   coalesce((e.state ->> 'prompt_tokens')::bigint, 0)
                   + coalesce((e.state ->> 'completion_tokens')::bigint, 0) as tokens
              from tenure.executions e
             where e.agent = agent_figures.name
             order by e.id desc
             limit agent_figures.newest) r
$$;

create view tenure.agent_summary as
select a.name,
       a.current                           as version,
       v.definition ->> 'model'            as model,
       array(select left(t ->> 'name', 200)
               from json_array_elements(case when json_typeof(v.definition -> 'tools') = 'array'
                                             then v.definition -> 'tools' else '[]' end) t) as tools,
       f.runs,
       f.live,
       f.ended,
       f.completed,
       f.last_run,
       f.median_duration,
       f.p95_duration,
       f.tokens,
       a.created_at                        as deployed_at,
       v.created_at                        as version_at,
       v.retired_at                        as deleted_at
  from tenure.agents a
  join tenure.agent_versions v on v.name = a.name and v.version = a.current
 cross join lateral tenure.agent_figures(a.name, 200) f;
