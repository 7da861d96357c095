-- How many runs go on from execution $1.
select count(*) from tenure.forks where forked_from = $1
