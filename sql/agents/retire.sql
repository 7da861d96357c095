-- Delete agent $1, or only its version $2; executions keep what they refer to. When the current version goes, the newest
-- one that is left becomes the current one.
-- Returns: version of each that was deleted
with gone as (
    update tenure.agent_versions set retired_at = now()
     where name = $1 and version = coalesce($2::integer, version) and retired_at is null
    returning version
), moved as (
    update tenure.agents a
       set current = coalesce((select max(v.version) from tenure.agent_versions v
                                where v.name = $1 and v.retired_at is null and v.version not in (select version from gone)),
                              a.current),
           updated_at = now()
     where a.name = $1 and a.current in (select version from gone)
)
select version from gone
