-- Which of requests $2 have already become an event of executions $1.
-- Returns: request
select v.data ->> 'request' as request
  from tenure.events v
 where v.execution_id = any($1::uuid[]) and v.kind in ('paused', 'resumed', 'stop_requested', 'signalled', 'terminated')
   and v.data ->> 'request' = any($2::text[])
