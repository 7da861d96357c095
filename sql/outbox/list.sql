-- All webhooks, with how they do.
-- Plan: ranges of outbox_of_webhook.
-- Returns: name, url, shape, events, agent, of_group, remind_secs, set_at, set_by, waiting, gave_up (within two days), last_at
-- (the newest that was taken), trouble (of the oldest that waits and was tried)
select w.name, w.url, w.shape, w.events, w.agent, w.of_group, extract(epoch from w.remind)::float8 as remind_secs, w.set_at, w.set_by,
       (select count(*) from tenure.outbox o where o.webhook = w.name and o.state = 'waiting') as waiting,
       (select count(*) from tenure.outbox o where o.webhook = w.name and o.state = 'gave_up'
           and o.ended_at > now() - interval '2 days') as gave_up,
       (select max(o.ended_at) from tenure.outbox o where o.webhook = w.name and o.state = 'delivered') as last_at,
       (select o.note from tenure.outbox o where o.webhook = w.name and o.state = 'waiting' and o.note is not null
         order by o.created_at limit 1) as trouble
  from tenure.webhooks w
 order by w.name
