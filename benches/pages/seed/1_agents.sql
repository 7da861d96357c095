-- Twenty agents in two versions, eight tools, a worker for six of them; words to make texts of.

insert into tenure.agents (name, current)
select name, 2 from unnest(array[
       'support_triage', 'refund_clerk', 'order_tracker', 'invoice_reader', 'contract_review', 'lead_scoring',
       'release_notes', 'incident_commander', 'log_analyst', 'code_review', 'test_writer', 'data_cleaner',
       'catalog_writer', 'translator', 'meeting_notes', 'travel_planner', 'fraud_check', 'onboarding_guide',
       'price_watch', 'healthcheck']) as name;

insert into tenure.agent_versions (name, version, checksum, definition)
select a.name, v, md5(a.name || v) || md5(v || a.name),
       json_build_object('name', a.name, 'model', 'demo/echo', 'instructions', 'Version ' || v || ': do it well.',
                         'tools', '[]'::json, 'maxTurns', 25, 'timeoutSeconds', 0, 'external', false)
  from tenure.agents a, generate_series(1, 2) v;

insert into tenure.queues (name)
select name from unnest(array[
       'tenure.model', 'crm_lookup', 'search_orders', 'send_mail', 'read_document', 'query_warehouse', 'run_tests',
       'web_fetch', 'legacy_export', 'step_through']) as name;

insert into tenure.workers (queue_id, name, kind, first_seen, seen_at)
select q.id, 'vm-' || n || ':' || 4000 + q.id, 'worker', now() - interval '2 days', now()
  from tenure.queues q, generate_series(1, 3) n
 where q.name not in ('tenure.model', 'legacy_export');

create temp table texts as
select t,
       string_agg(words[1 + abs(hashint4(t * 101 + w)) % array_length(words, 1)], ' ' order by w) as prompt,
       string_agg(words[1 + abs(hashint4(t * 211 + w)) % array_length(words, 1)], ' ' order by w) as answer
  from generate_series(0, 1999) t, generate_series(1, 55) w,
       (select string_to_array(
       'the a customer order invoice refund payment was not received after delivery please check status of account and '
       'reply with next step before friday deadline error timeout connection database server deploy release rollback '
       'metrics latency checkout cart search index shipment warehouse stock supplier contract clause signature review '
       'comment branch merge test failure flaky report summary meeting action owner budget forecast price competitor '
       'translation german french tone formal friendly onboarding access permission password reset ticket escalate '
       'priority high low medium duplicate known issue workaround documentation link attached document page paragraph '
       'table figure total amount currency euro dollar tax rate exception approved rejected pending', ' ') as words) d
 group by t;
