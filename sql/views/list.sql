-- The filters that somebody kept, oldest first.
-- Returns: id, name, query, created_at, created_by
select id, name, query, created_at, created_by from tenure.saved_views order by id limit 100
