-- Let others take on what server $1 sees to: it stops.
update tenure.bulk_jobs set worker_id = null, lease_until = null where worker_id = $1 and state = 'running'
