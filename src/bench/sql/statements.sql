-- What the statements of one load took of Postgres, most expensive first. Needs pg_stat_statements.
--
-- Parameters: $1 steps that were committed meanwhile
-- Returns: lines for people
select format('%6s %6s %7s %7s %7s  %s',
              round(100 * (total_exec_time + total_plan_time) / sum(total_exec_time + total_plan_time) over (), 1),
              round((1000 * (total_exec_time + total_plan_time) / $1::double precision)::numeric, 1),
              round((calls / $1::double precision)::numeric, 3),
              round((1000 * total_plan_time / $1::double precision)::numeric, 1),
              round(wal_bytes / $1::double precision::numeric),
              left(regexp_replace(query, '\s+', ' ', 'g'), 90))
  from (select sum(total_exec_time)::numeric as total_exec_time, sum(total_plan_time)::numeric as total_plan_time, sum(calls)::numeric as calls,
               sum(wal_bytes) as wal_bytes, regexp_replace(query, '\$\d+', '$', 'g') as query
          from pg_stat_statements group by 5) s
 order by total_exec_time + total_plan_time desc
 limit 30
