-- Append events, one array each: $1 execution, $2 seq, $3 kind, $4 attempt, $5 data, $6 time, $7 state (of each
-- execution's last one)
insert into tenure.events (execution_id, seq, kind, attempt_id, data, at, state)
select execution_id, seq, kind, attempt_id, data, at, state
  from unnest($1::uuid[], $2::integer[], $3::text[], $4::uuid[], $5::json[], $6::timestamptz[], $7::json[])
       as n (execution_id, seq, kind, attempt_id, data, at, state)
