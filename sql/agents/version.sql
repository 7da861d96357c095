-- One version of agent $1, deleted or not: number $2 (null: the current one).
-- Returns: version, current, checksum, definition, created_at, retired_at
select v.version, a.current, v.checksum, v.definition, v.created_at, v.retired_at
  from tenure.agents a
  join tenure.agent_versions v on v.name = a.name and v.version = coalesce($2::integer, a.current)
 where a.name = $1
