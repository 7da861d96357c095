-- Why execution $1 is not moving, oldest reason first.
-- Returns: code, text, queue, since, hint
select code, text, queue, since, hint from tenure.why_waiting where execution_id = $1 order by since
