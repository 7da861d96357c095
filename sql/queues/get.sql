-- A queue and whether it is paused, by $1 its id, or by $2 its name and $3 its domain.
-- Returns: id, name, domain, paused_at, paused_by, pause_reason
select id, name, domain, paused_at, paused_by, pause_reason
  from tenure.queues
 where id = $1::integer or (name = $2::text and domain = $3::text)
