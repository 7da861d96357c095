-- Ids of executions from $1 to below $2 whose session is one of $4, oldest first, at most $3.
-- Returns: id
-- Plan: one range of executions_by_session for each of them.
select e.id
  from unnest($4::text[]) as one (session)
 cross join lateral (
       select id
         from tenure.executions
        where session_id = one.session
          and id >= $1
          and id < $2
        order by id
        limit $3) e
 order by e.id
 limit $3
