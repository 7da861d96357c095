-- No bulk job made two runs of one.
select forked_from, start_key from tenure.executions
 where start_key like 'bulk:%' group by 1, 2 having count(*) > 1
