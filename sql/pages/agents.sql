-- Names of agents to choose from, at most 200.
-- Returns: name
select name from tenure.agents order by name limit 200
