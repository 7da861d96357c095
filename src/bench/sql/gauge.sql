-- What Postgres has counted so far.
-- Returns: time, WAL bytes, transactions, fsyncs of the WAL
select clock_timestamp() as at, (pg_current_wal_insert_lsn() - '0/0')::float8 as wal,
       (select sum(xact_commit) from pg_stat_database)::float8 as commits,
       (select wal_sync from pg_stat_wal)::float8 as syncs
