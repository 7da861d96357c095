-- What execution $1 was given, what it produced and what its tools share: the first 32000 characters, and how long each is.
-- Returns: input, input_bytes, output, output_bytes, context, context_bytes
select left(i.whole, 32000) as input, octet_length(i.whole)::bigint as input_bytes,
       left(o.whole, 32000) as output, octet_length(o.whole)::bigint as output_bytes,
       left(c.whole, 32000) as context, octet_length(c.whole)::bigint as context_bytes
  from tenure.executions e
 cross join lateral (select e.input::text as whole offset 0) i
 cross join lateral (select e.output::text as whole offset 0) o
 cross join lateral (select e.context::text as whole offset 0) c
 where e.id = $1
