-- What execution $1 asks and asked people, in the order of its calls; with $2 only what nobody has decided yet.
select * from tenure.approval
 where execution_id = $1 and (not $2 or decided_at is null)
 order by turn, call
