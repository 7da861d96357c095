-- bench.runs executions over ten days, three in ten of them in the last day, oldest first as they would have come.
-- Ids carry their times. The newest are live in part; one in 5000 has been paused since it started.

create function pg_temp.id_at(at timestamptz, salt text) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(salt), 1, 3) || '8'
            || substr(md5(salt), 4, 15))::uuid
$$;

create temp table run as
select i, at, pg_temp.id_at(at, 'run' || i) as id, status,
       (select array_agg(name order by name) from tenure.agents)[1 + abs(hashint4(i)) % 20] as agent,
       1 + abs(hashint4(i + 7)) % 2 as version,
       -- A few take minutes, most take seconds.
       case when status in ('running', 'paused') then null
            else at + make_interval(secs => 1.5 + abs(hashint4(i + 11)) % 9000 / 100.0
                                            + case when i % 40 = 0 then 900 else 0 end) end as ended_at,
       -- Bands of neighbours have everything a run has, so that a page anywhere near them is a full one.
       (n - i) % greatest(n / 20, 1) < n / 200 or status in ('running', 'paused') as has_details
  from (select i, n,
               case when i <= n * 0.7 then now() - interval '10 days' + interval '9 days' * (i / (n * 0.7))
                    else now() - interval '1 day' + interval '1420 minutes' * ((i - n * 0.7) / (n * 0.3)) end as at,
               case when i > n - n * 0.003 and i % 3 = 0 then 'running'
                    when i % 5000 = 0 then 'paused'
                    when abs(hashint4(i + 3)) % 1000 < 50 then 'failed'
                    when abs(hashint4(i + 3)) % 1000 < 65 then 'terminated'
                    when abs(hashint4(i + 3)) % 1000 < 80 then 'timed_out'
                    else 'completed' end as status
          from (select i, current_setting('bench.runs')::integer as n
                  from generate_series(1, current_setting('bench.runs')::integer) i) s) r;

insert into tenure.executions
       (id, agent, version, status, reason, input, context, output, session_id, created_at, ended_at)
select r.id, r.agent, r.version, r.status,
       case r.status when 'failed' then 'model demo/echo failed: 503 upstream connect error, 20 tries'
                     when 'timed_out' then 'the execution took longer than 600 seconds'
                     when 'terminated' then 'cancelled by ' || (array['ana', 'bo', 'chi'])[1 + r.i % 3] end,
       ('{"prompt":"Case ' || r.i || ': ' || p.prompt || '","media":[],"session_id":"s-' || r.i / 5 || '"}')::json,
       '{}',
       case r.status when 'completed'
            then ('{"result":"Case ' || r.i || ' is done. ' || a.answer || '","finishReason":"STOP","context":{}}')::json end,
       's-' || r.i / 5, r.at, r.ended_at
  from run r
  join texts p on p.t = r.i % 2000
  join texts a on a.t = (r.i * 7) % 2000
 order by r.i;
