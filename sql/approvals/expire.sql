-- Let happen what happens when nobody has decided approval $1 in time.
-- Returns: outcome, message
select outcome, message from tenure.expire($1)
