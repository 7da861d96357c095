-- Tokens that execution $1 has used so far.
-- Returns: calls, prompt, completion
select count(*) as calls, coalesce(sum(prompt_tokens), 0)::bigint as prompt, coalesce(sum(completion_tokens), 0)::bigint as completion
  from tenure.results
 where execution_id = $1 and kind = 'model' and outcome = 'completed'
