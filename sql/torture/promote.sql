-- Make a standby the primary.
select pg_promote()
