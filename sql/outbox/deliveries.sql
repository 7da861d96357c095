-- The newest $1 deliveries, to webhook $2 or all.
-- Returns: id, webhook, event, execution_id, subject, state, tries, note, created_at, ended_at, why
select id, webhook, event, execution_id, subject, state, tries, note, created_at, ended_at, why
  from tenure.deliveries
 where $2::text is null or webhook = $2
 order by created_at desc
 limit $1
