-- The time.
select clock_timestamp()
