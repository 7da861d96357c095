-- What attempt $2 of execution $1 was given and what it produced: the first 32000 characters, and how long each is.
-- Returns: call_id, input, input_bytes, output, output_bytes
select left(t.call_id, 200) as call_id, left(i.whole, 32000) as input, octet_length(i.whole)::bigint as input_bytes,
       left(o.whole, 32000) as output, octet_length(o.whole)::bigint as output_bytes
  from tenure.tasks t
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
 cross join lateral (select t.input::text as whole offset 0) i
 cross join lateral (select r.output::text as whole offset 0) o
 where t.execution_id = $1 and t.id = $2
