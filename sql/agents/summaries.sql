-- A page of the list of agents by name, each with how its newest 200 runs went.
--
-- Parameters: $1 pattern in the name (null: any), $2 only names after this one (null: from the first), $3 whether deleted
-- agents are wanted instead of those that can be started, $4 how many
-- Returns: name, version, model, tools (the first four), tool_count, runs, live, ended, completed, last_run, median_secs,
-- p95_secs, tokens, version_at
-- Plan: the names of the page first, then for each a range of executions_by_agent and of executions_live_by_agent.
select s.name, s.version, left(s.model, 200) as model, s.tools[1:4] as tools, cardinality(s.tools)::bigint as tool_count,
       s.runs, s.live, s.ended, s.completed, s.last_run,
       extract(epoch from s.median_duration)::double precision as median_secs,
       extract(epoch from s.p95_duration)::double precision as p95_secs, s.tokens, s.version_at
  from (select a.name
          from tenure.agents a
          join tenure.agent_versions v on v.name = a.name and v.version = a.current
         where ($1::text is null or a.name ilike $1)
           and ($2::text is null or a.name > $2)
           and (v.retired_at is not null) = $3
         order by a.name
         limit $4) p
 cross join lateral (select * from tenure.agent_summary s where s.name = p.name) s
 order by s.name
