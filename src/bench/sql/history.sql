-- $runs runs that ended long ago, with the events of ten calls each.
insert into tenure.agent_versions (name, version, checksum, definition) values ('bench_old', 1, 'x', '{}') on conflict do nothing;
insert into tenure.executions (id, agent, version, status, input, context, created_at, ended_at)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench_old', 1, 'completed', '{"prompt":"go"}', '{}',
       now() - interval '90 days', now() - interval '90 days'
  from generate_series(1, $runs) n;
insert into tenure.events (execution_id, seq, kind, data, at, state)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, seq, 'tool_called', '{"turn":3,"call":0,"name":"bench_tool"}', now() - interval '90 days',
       case when seq = 43 then '{}'::json end
  from generate_series(1, $runs) n, generate_series(1, 43) seq;
