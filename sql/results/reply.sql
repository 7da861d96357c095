-- What the model answered in turn $2 of execution $1.
select output from tenure.results
 where execution_id = $1 and turn = $2 and kind = 'model' and call = 0 and outcome in ('completed', 'gave_up')
