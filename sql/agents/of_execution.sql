-- The agent version that executions refer to, deleted or not. Parameters: $1 name, $2 version
-- Returns: name, version, checksum, definition, created_at, updated_at
select v.name, v.version, v.checksum, v.definition, v.created_at, v.created_at as updated_at
  from tenure.agent_versions v
 where v.name = $1 and v.version = $2
