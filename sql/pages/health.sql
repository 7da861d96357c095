-- How the database does.
select version, connections, max_connections, oldest_transaction_secs, lock_waits, dead_share, table_most_dead,
       database_bytes, up_since
  from tenure.postgres_health
