-- What became of execution $1, when it was deleted.
-- Returns: deleted_at, deleted_by, exported_to
select deleted_at, deleted_by, exported_to from tenure.deleted_runs where id = $1
