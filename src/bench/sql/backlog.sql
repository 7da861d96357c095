-- A queue of $rows ready attempts. The first $whole of them belong to executions and tasks; the rest are rows of the
-- queue alone, which is all that a claim walks over.
insert into tenure.agent_versions (name, version, checksum, definition) values ('bench', 1, 'x', '{}') on conflict do nothing;
insert into tenure.queues (name) values ('bench_tool') on conflict do nothing;
insert into tenure.workers (queue_id, name, kind) values (1, 'bench', 'worker') on conflict do nothing;
insert into tenure.queue (execution_id, attempt_id, queue_id, run_at)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
       1, now() - interval '1 hour' + n * interval '100 microseconds'
  from generate_series(1, $rows) n;
insert into tenure.executions (id, agent, version, status, input, context)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench', 1, 'running', '{"prompt":"go"}', '{}'
  from generate_series(1, $whole) n;
insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, name, queue_id, input, created_at)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
       'tool', 1, 0, 1, 'bench_tool', 1, '{"n":1}', now()
  from generate_series(1, $whole) n;
