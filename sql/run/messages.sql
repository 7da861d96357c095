-- What was said in execution $1 from message $2 to message $3, oldest first.
-- Returns: n, at, role, turn, name, text, calls, output, bytes, error, prompt_tokens, completion_tokens, attempt_id
-- Plan: a range of the primary key of tenure.messages
select n, at, role, turn, left(name, 200) as name, text, calls, output, bytes, error, prompt_tokens, completion_tokens,
       attempt_id
  from tenure.conversation_page($1, $2, $3)
