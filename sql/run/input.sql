-- The input of execution $1, as bytes: $3 of them from number $2 on (1-based). Null when there is none.
-- Returns: slice, bytes (of all of it)
select substr(w.whole, $2::integer, $3::integer) as slice, octet_length(w.whole)::bigint as bytes
  from tenure.executions e
 cross join lateral (select json_send(e.input) as whole offset 0) w
 where e.id = $1
