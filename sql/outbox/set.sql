-- Set a webhook, or replace the one of its name: $1 name, $2 url, $3 secret (null: that of before), $4 shape, $5 events, $6 agent,
-- $7 group, $8 seconds between reminders; by $9.
insert into tenure.webhooks (name, url, secret, shape, events, agent, of_group, remind, set_by)
values ($1, $2, coalesce($3, (select secret from tenure.webhooks where name = $1)), $4, $5, $6, $7,
        make_interval(secs => $8::double precision), $9)
    on conflict (name) do update
   set url = excluded.url, secret = excluded.secret, shape = excluded.shape, events = excluded.events, agent = excluded.agent,
       of_group = excluded.of_group, remind = excluded.remind, set_at = clock_timestamp(), set_by = excluded.set_by
