-- Delete statistics that nobody looks at any more, at most $1 rows of each length of period: minutes after a day, the rest
-- after a little more than a week.
delete from tenure.queue_stats
 where ctid = any (array(
        select s.ctid
          from (values (1, interval '1 day'), (15, interval '8 days'), (120, interval '8 days')) as k (minutes, kept)
         cross join lateral (select o.ctid from tenure.queue_stats o
                              where o.minutes = k.minutes and o.since < now() - k.kept limit $1) s))
