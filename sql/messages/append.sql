-- Append messages, one array each: $1 execution, $2 n, $3 role, $4 turn, $5 call, $6 attempt, $7 call id, $8 name,
-- $9 content, $10 time
insert into tenure.messages (execution_id, n, role, turn, call, attempt_id, call_id, name, content, at)
select execution_id, n, role, turn, call, attempt_id, call_id, name, content, at
  from unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::smallint[], $6::uuid[], $7::text[], $8::text[],
              $9::text[], $10::timestamptz[])
       as n (execution_id, n, role, turn, call, attempt_id, call_id, name, content, at)
