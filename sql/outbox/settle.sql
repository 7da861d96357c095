-- What came of try $2 of delivery $1: $3 its state now, $4 a note, $5 seconds until the next try, when it waits.
-- What was taken was taken, also when somebody else tries by now.
update tenure.outbox
   set state = $3, note = $4, due_at = clock_timestamp() + make_interval(secs => $5::double precision),
       ended_at = case when $3 <> 'waiting' then clock_timestamp() end
 where id = $1 and state = 'waiting' and (tries = $2 or $3 = 'delivered')
