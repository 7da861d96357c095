-- Where every execution stands.
-- Returns: id, status, reason, waits
select e.id, e.status, e.reason,
       case when e.ended_at is null
            then (select string_agg(w.text, '; ') from tenure.why_waiting w where w.execution_id = e.id) end as waits
  from tenure.executions e
