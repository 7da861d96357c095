-- Begin executions that go on from others: each with a copy of its original's history up to an event. Originals are
-- only read, and what is read of them never changes; they are kept from being deleted meanwhile.
--
-- Parameters, one array each: $1 id, $2 original, $3 its event, $4 messages up to there, $5 version, $6 input, $7 context,
-- $8 start key, $9 fork, retry, restart, rerun or replay;
-- then one array element per copied attempt: $10 id of the new execution, $11 old attempt, $12 new attempt, $13 whether
-- it had ended by then, $14 another input and $15 another output (nulls: as they were)
-- Does nothing unless the transaction has been opened (src/runtime/commit.rs).
-- Returns: id of each one that was inserted: not those whose key is taken, nor those that were inserted before
with forked as (
    insert into tenure.executions
           (id, agent, version, status, input, context, start_key, session_id, domains, domain, priority,
            deadline, created_at, forked_from, forked_at, forked_as)
    select n.id, o.agent, n.version, 'running', n.input, n.context, n.start_key, o.session_id, o.domains,
           o.domain, o.priority, clock_timestamp() + (o.deadline - o.created_at), clock_timestamp(),
           o.id, n.at, n.way
      from unnest($1::uuid[], $2::uuid[], $3::integer[], $5::integer[], $6::json[], $7::json[], $8::text[], $9::text[])
           as n (id, original, at, version, input, context, start_key, way)
      join tenure.executions o on o.id = n.original
     where not exists (select from tenure.executions e where e.id = n.id)   -- the same fork again, after a lost answer
       and current_setting('tenure.deciding', true) = 'on'
       for key share of o
        on conflict (agent, start_key) where start_key is not null and status in ('running', 'paused', 'completed')
        do nothing
    returning id, forked_from, forked_at
), copied as materialized (
    select f.id, f.forked_from, m.old, m.new, m.has_ended, m.input, m.output
      from unnest($10::uuid[], $11::uuid[], $12::uuid[], $13::boolean[], $14::json[], $15::json[])
           as m (id, old, new, has_ended, input, output)
      join forked f on f.id = m.id
), events as (
    insert into tenure.events (execution_id, seq, kind, attempt_id, data, at)
    select f.id, v.seq, v.kind, c.new, v.data, v.at
      from forked f
      join tenure.events v on v.execution_id = f.forked_from and v.seq <= f.forked_at
      left join copied c on c.id = f.id and c.old = v.attempt_id
), messages as (
    insert into tenure.messages (execution_id, n, role, turn, call, attempt_id, call_id, name, content, at)
    select f.id, m.n, m.role, m.turn, m.call, c.new, m.call_id, m.name, m.content, m.at
      from forked f
      join unnest($1::uuid[], $4::integer[]) as u (id, messages) on u.id = f.id
      join tenure.messages m on m.execution_id = f.forked_from and m.n <= u.messages
      left join copied c on c.id = f.id and c.old = m.attempt_id
), tasks as (
    insert into tenure.tasks (execution_id, id, kind, turn, call, attempt, losses, name, call_id, queue_id, input, retry_of,
                              created_at, copy_of)
    select c.id, c.new, t.kind, t.turn, t.call, t.attempt, t.losses, t.name, t.call_id, t.queue_id,
           coalesce(c.input, t.input), b.new, case when c.has_ended then t.created_at else clock_timestamp() end,
           case when c.has_ended then t.id end
      from copied c
      join tenure.tasks t on t.execution_id = c.forked_from and t.id = c.old
      left join copied b on b.id = c.id and b.old = t.retry_of
), results as (
    insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, output, error, worker, polls, started_at,
                                ended_at, prompt_tokens, completion_tokens, copy_of)
    select c.id, c.new, r.kind, r.turn, r.call, r.outcome, coalesce(c.output, r.output), r.error, r.worker, r.polls,
           r.started_at, r.ended_at, r.prompt_tokens, r.completion_tokens, r.attempt_id
      from copied c
      join tenure.results r on r.execution_id = c.forked_from and r.attempt_id = c.old
     where c.has_ended
), logs as (
    insert into tenure.task_logs (execution_id, attempt_id, line, at)
    select c.id, c.new, l.line, l.at
      from copied c
      join tenure.task_logs l on l.execution_id = c.forked_from and l.attempt_id = c.old
     where c.has_ended
     order by l.n
)
select id from forked
