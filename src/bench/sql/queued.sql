-- $rows attempts more in a queue of their own that nobody asks for.
insert into tenure.queues (name) values ('bench_backlog') on conflict do nothing;
insert into tenure.queue (execution_id, attempt_id, queue_id, run_at)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
       (select id from tenure.queues where name = 'bench_backlog'), now()
  from generate_series(1, $rows) n;
