-- Why execution $1 is not moving.
-- Returns: text
select text from tenure.why_waiting where execution_id = $1
