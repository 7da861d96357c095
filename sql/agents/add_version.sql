-- Add a version to agent $1, which is locked: $2 checksum, $3 definition. The same content stays the same version.
-- Returns: version
insert into tenure.agent_versions (name, version, checksum, definition)
select $1, coalesce(max(version), 0) + 1, $2, $3::json from tenure.agent_versions where name = $1
    on conflict (name, checksum) do update set retired_at = null
returning version
