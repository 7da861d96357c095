-- No lease outlives its time.
select execution_id, attempt_id, lease_until from tenure.queue where lease_until < clock_timestamp() - interval '10 s'
