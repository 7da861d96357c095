-- Decide approval $1: $2 approve, deny or answer, $3 who, $4 why, $5 other arguments, $6 the answer, $7 hash of the arguments
-- that were shown, $8 through which channel, $9 the request, which counts once
-- Returns: outcome, message
select outcome, message from tenure.decide($1, $2, $3, $4, $5, $6, $7, $8, $9)
