-- Executions that match, newest first. A parameter that is null matches everything.
--
-- Parameters: $1 statuses, $2 agents, $3 session, $4 pattern in the input or session, $5 started at or after, $6 started
-- at or before, $7 how many, $8 after how many, $9 an execution's id
-- Returns: as executions/get.sql
-- Plan: ids sort by time, so the order needs no sort; the pattern is looked for in what the other conditions leave.
select e.id, e.agent, e.version, e.status, e.reason, e.input, e.context, e.output, p.events as last_seq, e.start_key, e.session_id,
       e.domains, e.priority, e.created_at, p.at as updated_at, e.ended_at
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where ($1::text[] is null or status = any($1))
   and ($2::text[] is null or agent = any($2))
   and ($3::text is null or session_id = $3)
   and ($4::text is null or session_id ilike $4 or start_key ilike $4 or input::text ilike $4)
   and ($5::timestamptz is null or created_at >= $5)
   and ($6::timestamptz is null or created_at <= $6)
   and ($9::uuid is null or id = $9)
 order by id desc
 limit $7 offset $8
