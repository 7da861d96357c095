-- What attempt $2 of execution $1 produced, as bytes: $4 of them from number $3 on (1-based). Null when there is nothing.
-- Returns: slice, bytes (of all of it)
select substr(w.whole, $3::integer, $4::integer) as slice, octet_length(w.whole)::bigint as bytes
  from tenure.tasks t
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
 cross join lateral (select json_send(r.output) as whole offset 0) w
 where t.execution_id = $1 and t.id = $2
