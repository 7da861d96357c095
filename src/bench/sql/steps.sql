-- Steps (attempts whose outcome is committed) between two times, how many of them workers performed, and the events.
select count(*)::float8 as steps, (count(*) filter (where kind = 'tool'))::float8 as calls
  from tenure.results where ended_at >= $1 and ended_at < $2
