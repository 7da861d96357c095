-- The agent version that execution $1 runs; the definition is cut after 32000 characters.
-- Returns: name, version, current (the version that new runs get), checksum, created_at, retired_at, definition, bytes
select v.name, v.version, a.current, v.checksum, v.created_at, v.retired_at, left(d.whole, 32000) as definition,
       octet_length(d.whole)::bigint as bytes
  from tenure.executions e
  join tenure.agent_versions v on v.name = e.agent and v.version = e.version
  left join tenure.agents a on a.name = v.name
 cross join lateral (select v.definition::text as whole offset 0) d
 where e.id = $1
