-- Tokens of the newest $1 executions that started in the last 24 hours.
-- Returns: executions, prompt, completion
-- Plan: the end of the primary key.
select count(*) as executions,
       coalesce(sum((state ->> 'prompt_tokens')::bigint), 0)::bigint     as prompt,
       coalesce(sum((state ->> 'completion_tokens')::bigint), 0)::bigint as completion
  from (select state from tenure.executions
         where id >= tenure.id_at(now() - interval '24 hours') order by id desc limit $1) e
