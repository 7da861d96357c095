-- Ask people, one array each: $1 execution, $2 id, $3 kind, $4 agent, $5 turn, $6 call, $7 call id, $8 tool, $9 description,
-- $10 arguments, $11 schema, $12 group (null: anybody), $13 quorum, $14 time, $15 seconds until it expires (null: never),
-- $16 what happens then, $17 whom it escalates to, $18 whether whoever started the run can't decide, $19 the policy that asks
insert into tenure.approvals (execution_id, id, kind, agent, turn, call, call_id, tool, description, arguments, arguments_hash,
                              schema, of_group, quorum, asked_at, patience, expires_at, on_expiry, escalate_to, not_requester,
                              policy)
select execution_id, id, kind, agent, turn, call, call_id, tool, description, arguments,
       encode(sha256(convert_to(arguments::text, 'UTF8')), 'hex'), schema, of_group, quorum, at,
       make_interval(secs => patience), at + make_interval(secs => patience), on_expiry, escalate_to, not_requester, policy
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::smallint[], $7::text[], $8::text[], $9::text[],
              $10::json[], $11::json[], $12::text[], $13::smallint[], $14::timestamptz[], $15::double precision[], $16::text[],
              $17::text[], $18::boolean[], $19::text[])
       as n (execution_id, id, kind, agent, turn, call, call_id, tool, description, arguments, schema, of_group, quorum, at,
             patience, on_expiry, escalate_to, not_requester, policy)
