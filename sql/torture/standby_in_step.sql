-- Whether commits wait for the standby $1.
-- Returns: pid, when they do
select pid from pg_stat_replication where application_name = $1 and sync_state = 'sync'
