-- How many events each of runs $1 has that ended $2 seconds ago or earlier.
-- Returns: id, last_seq
select id, last_seq from tenure.executions
 where id = any($1::uuid[]) and ended_at <= clock_timestamp() - make_interval(secs => $2::double precision)
