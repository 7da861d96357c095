-- Define tasks, one array each: $1 name, $2 definition, $3 retry count, $4 retry logic, $5 retry delay in seconds,
-- $6 backoff scale, $7 response timeout in seconds, $8 timeout in seconds, $9 whether the retries were given.
-- The last one of a name counts. What does not change is not written again.
insert into tenure.task_defs (name, definition, retry_count, retry_logic, retry_delay_secs, backoff_scale,
                              response_timeout_secs, timeout_secs, retries_given)
select distinct on (name) name, definition, retry_count, retry_logic, retry_delay, backoff_scale, response_timeout, timeout, given
  from unnest($1::text[], $2::json[], $3::integer[], $4::text[], $5::integer[], $6::integer[], $7::integer[], $8::integer[],
              $9::boolean[]) with ordinality
       as n (name, definition, retry_count, retry_logic, retry_delay, backoff_scale, response_timeout, timeout, given, place)
 order by name, place desc
    on conflict (name) do update
   set definition = excluded.definition, retry_count = excluded.retry_count, retry_logic = excluded.retry_logic,
       retry_delay_secs = excluded.retry_delay_secs, backoff_scale = excluded.backoff_scale,
       response_timeout_secs = excluded.response_timeout_secs, timeout_secs = excluded.timeout_secs,
       retries_given = excluded.retries_given, updated_at = now()
 where task_defs.definition::text is distinct from excluded.definition::text
