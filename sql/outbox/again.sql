-- Send delivery $1 once more, from its first try on.
update tenure.outbox
   set state = 'waiting', tries = 0, note = null, due_at = clock_timestamp(), ended_at = null
 where id = $1
