-- Version and checksum that starting agent $1 runs now.
-- Returns: version, checksum (zero rows when nobody deployed it, or somebody deleted it)
select v.version, v.checksum
  from tenure.agents a
  join tenure.agent_versions v on v.name = a.name and v.version = a.current
 where a.name = $1 and v.retired_at is null
