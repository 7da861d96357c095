-- What attempt $2 of execution $1 was given, as bytes: $4 of them from number $3 on (1-based).
-- Returns: slice, bytes (of all of it)
select substr(w.whole, $3::integer, $4::integer) as slice, octet_length(w.whole)::bigint as bytes
  from tenure.tasks t
 cross join lateral (select json_send(t.input) as whole offset 0) w
 where t.execution_id = $1 and t.id = $2
