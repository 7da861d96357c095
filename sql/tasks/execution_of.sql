-- The execution that attempt $1 belongs to.
select execution_id from tenure.tasks where id = $1
