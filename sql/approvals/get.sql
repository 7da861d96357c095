-- Question $1 with everything that is known of it.
select * from tenure.approval where id = $1
