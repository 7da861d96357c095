-- Ids of executions from $1 to below $2 whose agent is one of $4, oldest first, at most $3.
-- Returns: id
-- Plan: one range of executions_by_agent for each of them.
select e.id
  from unnest($4::text[]) as one (agent)
 cross join lateral (
       select id
         from tenure.executions
        where agent = one.agent
          and id >= $1
          and id < $2
        order by id
        limit $3) e
 order by e.id
 limit $3
