-- Set prices, one array each: $1 model, $2 currency, $3 prompt, $4 completion, $5 cached, $6 valid from (null: now),
-- $7 valid until, $8 note; by $9. A price of the same model from the same time on is replaced.
-- Returns: id
insert into tenure.prices (model, currency, prompt, completion, cached, valid_from, valid_until, note, set_by)
select model, currency, prompt::numeric, completion::numeric, cached::numeric, coalesce(valid_from, now()), valid_until, note, $9
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[])
       as n (model, currency, prompt, completion, cached, valid_from, valid_until, note)
    on conflict (model, valid_from) do update
   set currency = excluded.currency, prompt = excluded.prompt, completion = excluded.completion, cached = excluded.cached,
       valid_until = excluded.valid_until, note = excluded.note, set_at = excluded.set_at, set_by = excluded.set_by
returning id
