-- What the WAL between two places is made of, most bytes first. Needs pg_walinspect.
--
-- Parameters: $1 and $2 the places, $3 steps that were committed meanwhile
-- Returns: lines for people
select format('%6s %7s %8s  %s', round(combined_size_percentage::numeric, 1), round((combined_size / $3::double precision)::numeric, 1),
              round((count / $3::double precision)::numeric, 3), "resource_manager/record_type")
  from pg_get_wal_stats($1::text::pg_lsn, $2::text::pg_lsn, true)
 where count > 0
 order by combined_size desc
 limit 20
