-- Remove webhook $1, and what waits to be told there.
delete from tenure.webhooks where name = $1
