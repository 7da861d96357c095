-- Begin a bulk job.
--
-- Parameters: $1 id, $2 action, $3 filter, $4 reason, $5 who, $6 rate, $7 how many are expected, $8 the run before which it
-- begins to look
insert into tenure.bulk_jobs (id, action, filter, reason, started_by, rate, expected, cursor)
values ($1, $2, $3, $4, $5, $6, $7, $8)
