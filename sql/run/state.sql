-- What decides how execution $1 goes on: the engine's state and the context that its tools share, cut after 32000 characters.
-- Returns: state, state_bytes, context, context_bytes
select left(s.whole, 32000) as state, octet_length(s.whole)::bigint as state_bytes,
       left(c.whole, 32000) as context, octet_length(c.whole)::bigint as context_bytes
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 cross join lateral (select p.state::text as whole offset 0) s
 cross join lateral (select e.context::text as whole offset 0) c
 where e.id = $1
