-- How many questions nobody has decided, counted up to $1.
select count(*) from (select from tenure.approvals where decision is null limit $1) p
