-- Late results that were refused, and attempts that were lost with their worker.
-- Returns: refused, lost
select (select count(*) from tenure.events where kind = 'result_refused') as refused,
       (select count(*) from tenure.results where outcome = 'lost') as lost
