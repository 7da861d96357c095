-- Append what a worker logged about attempt $2 of execution $1, one array each: $3 line, $4 time (null: now).
-- The same report sent twice adds nothing; an attempt that nobody knows adds nothing.
insert into tenure.task_logs (execution_id, attempt_id, line, at)
select $1, $2, n.line, coalesce(n.at, now())
  from unnest($3::text[], $4::timestamptz[]) with ordinality as n (line, at, place)
 where exists (select from tenure.tasks t where t.execution_id = $1 and t.id = $2)
   and not exists (select from tenure.task_logs l
                    where l.execution_id = $1 and l.attempt_id = $2 and l.line = n.line and l.at = n.at)
 order by n.place
