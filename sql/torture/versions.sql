-- How many versions agent $1 has, how many different ones, and which is current.
-- Returns: versions, contents, current
select count(*) as versions, count(distinct v.checksum) as contents, max(a.current) as current
  from tenure.agents a join tenure.agent_versions v on v.name = a.name
 where a.name = $1
