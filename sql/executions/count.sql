-- How many executions match, counted up to 10,000; parameters as in executions/search.sql without the page.
--
-- Parameters: $1 statuses, $2 agents, $3 session, $4 pattern, $5 started at or after, $6 at or before, $7 id
-- Returns: many
select count(*) as many from (
    select from tenure.executions
     where ($1::text[] is null or status = any($1))
       and ($2::text[] is null or agent = any($2))
       and ($3::text is null or session_id = $3)
       and ($4::text is null or session_id ilike $4 or start_key ilike $4 or input::text ilike $4)
       and ($5::timestamptz is null or created_at >= $5)
       and ($6::timestamptz is null or created_at <= $6)
       and ($7::uuid is null or id = $7)
     limit 10000
) matching
