-- How the executions that started in each of 96 quarters of an hour up to now stand.
-- Returns: at (begin of the quarter), status, many; only where there are some
-- Plan: one index-only range of executions_by_status for each quarter and status.
select q.at, s.status, c.many
  from generate_series(date_bin('15 minutes', now(), 'epoch') - interval '1425 minutes', now(), '15 minutes') as q (at)
 cross join unnest(array['running', 'paused', 'completed', 'failed', 'terminated', 'timed_out']) as s (status)
 cross join lateral (
       select count(*) as many
         from tenure.executions e
        where e.status = s.status
          and e.id >= tenure.id_at(q.at)
          and e.id < tenure.id_at(q.at + interval '15 minutes')) c
 where c.many > 0
 order by q.at, s.status
