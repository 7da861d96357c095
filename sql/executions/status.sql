-- What whoever waits for execution $1 asks each second; output and reason only once it has ended.
-- Returns: status, reason, output
select status, reason, output from tenure.executions where id = $1
