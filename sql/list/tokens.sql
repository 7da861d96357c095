-- Tokens of the newest $1 executions that started in the last 24 hours; not those of turns that they copied from other runs.
-- Returns: executions, prompt, completion
-- Plan: the end of the primary key; the results of runs that have copies.
select count(*) as executions,
       coalesce(sum((p.state ->> 'prompt_tokens')::bigint - coalesce(c.prompt, 0)), 0)::bigint         as prompt,
       coalesce(sum((p.state ->> 'completion_tokens')::bigint - coalesce(c.completion, 0)), 0)::bigint as completion
  from (select id, forked_at from tenure.executions
         where id >= tenure.id_at(now() - interval '24 hours') order by id desc limit $1) e
  left join lateral tenure.progress(e.id) p on true
  left join lateral (
        select sum(r.prompt_tokens) as prompt, sum(r.completion_tokens) as completion
          from tenure.results r
         where e.forked_at > 0 and r.execution_id = e.id and r.copy_of is not null) c on true
