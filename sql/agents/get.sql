-- One version of an agent. Parameters: $1 name, $2 version (null: the current one)
-- Returns: name, version, checksum, definition, created_at, updated_at
select v.name, v.version, v.checksum, v.definition, a.created_at, a.updated_at
  from tenure.agents a
  join tenure.agent_versions v on v.name = a.name and v.version = coalesce($2::integer, a.current)
 where a.name = $1 and v.retired_at is null
