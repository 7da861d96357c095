-- How many different reasons the newest $1 failures of the last 24 hours have; digits make no difference.
-- Returns: many
-- Plan: the ends of two ranges of executions_by_status.
select count(distinct regexp_replace(left(reason, 80), '\d+', '0', 'g')) as many
  from (      (select reason, id from tenure.executions
                where status = 'failed' and id >= tenure.id_at(now() - interval '24 hours') order by id desc limit $1)
    union all (select reason, id from tenure.executions
                where status = 'timed_out' and id >= tenure.id_at(now() - interval '24 hours') order by id desc limit $1)) e
