-- Write the next attempts of tasks down, one array each: $1 execution, $2 new id, $3 id of the attempt before,
-- $4 attempt number, $5 losses, $6 time
insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, losses, name, call_id, queue_id, input, retry_of, created_at)
select t.execution_id, n.id, t.kind, t.turn, t.call, n.attempt, n.losses, t.name, t.call_id, t.queue_id, t.input, t.id, n.at
  from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::integer[], $6::timestamptz[])
       as n (execution_id, id, before, attempt, losses, at)
  join tenure.tasks t on t.execution_id = n.execution_id and t.id = n.before
