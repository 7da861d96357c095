-- Processes that serve a session of a server, of the whole cluster, longest first.
-- Returns: pid
select pid from pg_stat_activity where datname = 'tenure' and pid <> pg_backend_pid() order by backend_start, pid
