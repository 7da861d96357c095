-- Write down how attempts ended, one array each: $1 execution, $2 attempt, $3 kind, $4 turn, $5 call, $6 outcome,
-- $7 output, $8 error, $9 worker, $10 polls, $11 started, $12 ended, $13 prompt tokens, $14 completion tokens,
-- $15 cached tokens
insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, polls, started_at,
                            ended_at, prompt_tokens, completion_tokens, cached_tokens)
select execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, polls, least(started_at, ended_at),
       ended_at, prompt_tokens, completion_tokens, cached_tokens
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::smallint[], $6::text[], $7::json[], $8::text[],
              $9::text[], $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::bigint[],
              $15::bigint[])
       as n (execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, polls, started_at, ended_at,
             prompt_tokens, completion_tokens, cached_tokens)
