-- Let webhook $1 be told that it works.
-- Returns: id of the delivery (zero rows when there is no such webhook)
insert into tenure.outbox (webhook, event, subject)
select name, 'test', gen_random_uuid() from tenure.webhooks where name = $1
returning id
