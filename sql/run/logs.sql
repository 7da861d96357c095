-- What workers logged about execution $1 up to time $2 (null: now), newest attempt first: $6 lines before line $4 of
-- attempt $3, of attempt $5 only (null: of all).
-- Returns: n, attempt_id, at, line, bytes, name, turn, attempt, worker
-- Plan: a range of the primary key of tenure.task_logs
select l.n, l.attempt_id, l.at, left(l.line, 4000) as line, octet_length(l.line)::bigint as bytes,
       left(s.name, 200) as name, s.turn, s.attempt, left(s.worker, 200) as worker
  from tenure.task_logs l
  left join tenure.task_status s on s.execution_id = l.execution_id and s.attempt_id = l.attempt_id
 where l.execution_id = $1
   and ($2::timestamptz is null or l.at <= $2)
   and (l.attempt_id, l.n) < ($3, $4)
   and ($5::uuid is null or l.attempt_id = $5)
 order by l.attempt_id desc, l.n desc
 limit $6
