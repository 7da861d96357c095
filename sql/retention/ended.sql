-- How many events each of runs $1 has that ended $2 seconds ago or earlier.
-- Returns: id, last_seq
select e.id, p.events as last_seq
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where e.id = any($1::uuid[]) and e.ended_at <= clock_timestamp() - make_interval(secs => $2::double precision)
