-- Remove price $1: what it covered has the price that would have been there without it, or none.
delete from tenure.prices where id = $1
