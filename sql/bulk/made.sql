-- Of which of runs $1 a job made another one already, which it did under keys $2.
select distinct forked_from from tenure.executions where forked_from = any($1::uuid[]) and start_key = any($2::text[])
