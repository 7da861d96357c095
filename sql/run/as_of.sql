-- How execution $1 stood after event $2. No row when there is no such event.
-- Returns: event, events, at, kind, status, reason, turn, messages, model_calls, prompt_tokens, completion_tokens
select event, events, at, kind, status, left(reason, 2000) as reason, turn, messages, model_calls, prompt_tokens,
       completion_tokens
  from tenure.execution_as_of($1, $2)
