-- Forget what was told long ago.
delete from tenure.outbox where ended_at < now() - interval '30 days'
