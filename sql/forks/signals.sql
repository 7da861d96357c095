-- What was signalled to execution $1, in order.
-- Returns: content
select content from tenure.messages where execution_id = $1 and role = 'signal' order by n
