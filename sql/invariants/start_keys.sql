-- One start key starts one execution that lives or has succeeded.
select agent, start_key, count(*) from tenure.executions
 where start_key is not null and status in ('running', 'paused', 'completed') group by 1, 2 having count(*) > 1
