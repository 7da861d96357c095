-- End a session. Parameter: $1 its process
select pg_terminate_backend($1)
