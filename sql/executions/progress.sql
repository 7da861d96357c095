-- Where locked executions $1 stand. A statement of its own: one that waited for the locks would read what was there before.
--
-- Returns: id, last_seq, at, state (of the newest event), now
-- `now` is read after the locks were got; an event's time is the later of it and the one before, so time never runs
-- backwards inside an execution.
select n.id, p.events as last_seq, p.at, p.state, clock_timestamp() as now
  from unnest($1::uuid[]) as n (id)
 cross join lateral tenure.progress(n.id) p
