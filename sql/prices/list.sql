-- All prices: by model, the newest first; `in_force` is what a call of exactly this model or family would be charged now.
-- Returns: id, model, currency, prompt, completion, cached, valid_from, valid_until, note, set_at, set_by, in_force
select p.id, p.model, p.currency, p.prompt::text as prompt, p.completion::text as completion, p.cached::text as cached,
       p.valid_from, p.valid_until, p.note, p.set_at, p.set_by,
       p.id is not distinct from (select o.id from tenure.prices o
                                   where o.model = p.model and o.valid_from <= now() and (o.valid_until > now()) is not false
                                   order by o.valid_from desc limit 1) as in_force
  from tenure.prices p
 order by p.model, p.valid_from desc
