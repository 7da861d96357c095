-- Keep filter $2 under name $1, by $3, unless there are $4 already.
-- Returns: id, or no row when there are too many
insert into tenure.saved_views (name, query, created_by)
select $1, $2, $3 where (select count(*) from tenure.saved_views) < $4
returning id
