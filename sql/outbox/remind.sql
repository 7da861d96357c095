-- Let those be reminded who want it and whose question nobody has decided: once each time that their span has gone by, the newest
-- of those only.
insert into tenure.outbox (webhook, event, execution_id, subject, n)
select w.name, 'reminder', a.execution_id, a.id, s.n
  from tenure.webhooks w
  join tenure.approvals a on a.decision is null and a.asked_at <= clock_timestamp() - w.remind
                         and tenure.fits(a.agent, w.agent) and (w.of_group is null or w.of_group = a.of_group)
 cross join lateral (select floor(extract(epoch from clock_timestamp() - a.asked_at) / extract(epoch from w.remind))::integer as n) s
 where not exists (select from tenure.outbox o
                    where o.webhook = w.name and o.event = 'reminder' and o.subject = a.id and o.n = s.n)
    on conflict on constraint told_once do nothing
