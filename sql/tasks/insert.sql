-- Write attempts down, one array each: $1 execution, $2 id, $3 kind, $4 turn, $5 call, $6 name, $7 call id, $8 queue,
-- $9 input, $10 time
insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, name, call_id, queue_id, input, created_at)
select execution_id, id, kind, turn, call, 1, name, call_id, queue_id, input, at
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::smallint[], $6::text[], $7::text[], $8::integer[],
              $9::json[], $10::timestamptz[])
       as n (execution_id, id, kind, turn, call, name, call_id, queue_id, input, at)
