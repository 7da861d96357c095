-- How questions about tool $1 were decided in the last 90 days, at most the newest 1000.
-- Returns: asks, approved (edited ones, too), edited, denied, answered, expired, median_secs
select count(*) as asks,
       count(*) filter (where decision = 'approved') as approved,
       count(*) filter (where edited)                as edited,
       count(*) filter (where decision = 'denied')   as denied,
       count(*) filter (where decision = 'answered') as answered,
       count(*) filter (where decided_via = 'clock') as expired,
       percentile_cont(0.5) within group (order by extract(epoch from decided_at - asked_at)::double precision) as median_secs
  from (select decision, edited is not null as edited, decided_via, decided_at, asked_at
          from tenure.approvals
         where tool = $1 and decision is not null and decision <> 'withdrawn' and decided_at > now() - interval '90 days'
         order by decided_at desc
         limit 1000) d
