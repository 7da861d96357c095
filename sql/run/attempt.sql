-- What attempt $2 of execution $1 was given and what it produced: the first 32000 characters, and how long each is.
-- What takes more than 16 MB to store is not looked into: its beginning is empty.
-- Returns: call_id, input, input_bytes, output, output_bytes
select left(t.call_id, 200) as call_id, left(i.whole, 32000) as input, i.bytes as input_bytes,
       left(o.whole, 32000) as output, o.bytes as output_bytes
  from tenure.tasks t
  left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
 cross join lateral (select w.whole, case when w.whole = '' then pg_column_size(t.input) else octet_length(w.whole) end::bigint as bytes
                       from (select case when pg_column_size(t.input) >= 16000000 then '' else t.input::text end as whole offset 0) w) i
 cross join lateral (select w.whole, case when w.whole = '' then pg_column_size(r.output) else octet_length(w.whole) end::bigint as bytes
                       from (select case when pg_column_size(r.output) >= 16000000 then '' else r.output::text end as whole offset 0) w) o
 where t.execution_id = $1 and t.id = $2
