-- Remove policy $1.
delete from tenure.approval_policies where name = $1
