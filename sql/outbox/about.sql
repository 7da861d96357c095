-- The newest $1 deliveries about approval or run $2.
-- Returns: as deliveries.sql
-- Plan: outbox_subject, whatever else was told.
select id, webhook, event, execution_id, subject, state, tries, note, created_at, ended_at, why
  from tenure.deliveries
 where subject = $2
 order by created_at desc
 limit $1
