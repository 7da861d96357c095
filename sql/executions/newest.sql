-- The newest event of executions $1.
select n.id, p.events as last_seq
  from unnest($1::uuid[]) as n (id)
 cross join lateral tenure.progress(n.id) p
