-- Take up to $1 deliveries that are due. They are due again after $2 seconds, if nobody says what came of them.
-- Returns: id, event, execution_id, subject, tries (with this one), created_at, and of its webhook: name, url, secret, shape
update tenure.outbox o
   set tries = o.tries + 1, due_at = clock_timestamp() + make_interval(secs => $2::double precision)
  from tenure.webhooks w
 where w.name = o.webhook
   and o.id in (select id from tenure.outbox
                 where state = 'waiting' and due_at <= clock_timestamp()
                 order by due_at limit $1 for update skip locked)
returning o.id, o.event, o.execution_id, o.subject, o.tries, o.created_at, w.name, w.url, w.secret, w.shape
