-- Ids of executions from $1 to below $2 whose status is one of $4, oldest first, at most $3.
-- Returns: id
-- Plan: one range of executions_by_status for each of them.
select e.id
  from unnest($4::text[]) as one (status)
 cross join lateral (
       select id
         from tenure.executions
        where status = one.status
          and id >= $1
          and id < $2
        order by id
        limit $3) e
 order by e.id
 limit $3
