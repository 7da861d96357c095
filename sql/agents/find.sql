-- The definition of version $2 of agent $1, also of a retired one.
select definition from tenure.agent_versions where name = $1 and version = $2
