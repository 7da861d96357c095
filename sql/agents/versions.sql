-- The newest $2 versions of agent $1, newest first, each with how many of the agent's newest $3 runs ran it.
-- Returns: version, checksum, created_at, retired_at, runs, completed
-- Plan: a range of the versions' primary key and one of executions_by_agent.
with recent as (
    select r.version, count(*) as runs, count(*) filter (where r.status = 'completed') as completed
      from (select version, status from tenure.executions where agent = $1 order by id desc limit $3) r
     group by r.version
)
select v.version, v.checksum, v.created_at, v.retired_at, coalesce(r.runs, 0) as runs, coalesce(r.completed, 0) as completed
  from (select * from tenure.agent_versions where name = $1 order by version desc limit $2) v
  left join recent r on r.version = v.version
 order by v.version desc
