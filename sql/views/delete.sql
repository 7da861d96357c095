-- Forget the filter with id $1.
delete from tenure.saved_views where id = $1
