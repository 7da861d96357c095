-- All agents with their current version, by name.
-- Returns: name, version, checksum, definition, created_at, updated_at
select v.name, v.version, v.checksum, v.definition, a.created_at, a.updated_at
  from tenure.agents a
  join tenure.agent_versions v on v.name = a.name and v.version = a.current
 where v.retired_at is null
 order by v.name
