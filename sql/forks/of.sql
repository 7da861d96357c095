-- The newest $2 runs that go on from execution $1, oldest first.
-- Returns: id, forked_at, forked_as, status, created_at
select id, forked_at, forked_as, status, created_at
  from (select id, forked_at, forked_as, status, created_at from tenure.executions
         where forked_from = $1 order by id desc limit $2) newest
 order by id
