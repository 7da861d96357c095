-- What execution $1 was given, what it produced and what its tools share: the first 32000 characters, and how long each is.
-- What takes more than 16 MB to store is not looked into: its beginning is empty.
-- Returns: input, input_bytes, output, output_bytes, context, context_bytes
select left(i.whole, 32000) as input, i.bytes as input_bytes,
       left(o.whole, 32000) as output, o.bytes as output_bytes,
       left(c.whole, 32000) as context, c.bytes as context_bytes
  from tenure.executions e
 cross join lateral (select w.whole, case when w.whole = '' then pg_column_size(e.input) else octet_length(w.whole) end::bigint as bytes
                       from (select case when pg_column_size(e.input) >= 16000000 then '' else e.input::text end as whole offset 0) w) i
 cross join lateral (select w.whole, case when w.whole = '' then pg_column_size(e.output) else octet_length(w.whole) end::bigint as bytes
                       from (select case when pg_column_size(e.output) >= 16000000 then '' else e.output::text end as whole offset 0) w) o
 cross join lateral (select w.whole, case when w.whole = '' then pg_column_size(e.context) else octet_length(w.whole) end::bigint as bytes
                       from (select case when pg_column_size(e.context) >= 16000000 then '' else e.context::text end as whole offset 0) w) c
 where e.id = $1
