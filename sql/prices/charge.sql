-- What calls that have just ended cost, one array each: $1 model, $2 prompt, $3 cached and $4 completion tokens.
-- Returns: currency and millionths of it, one row per element in order; null where there is no price
select case when c.cost is not null then p.currency end as currency, (c.cost * 1000000)::double precision as micros
  from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) with ordinality
       as u (model, prompt, cached, completion, place)
  left join lateral tenure.price_of(tenure.model_name(u.model), now()) p on true
 cross join lateral tenure.cost_of(u.prompt, u.cached, u.completion, p.prompt, p.cached, p.completion) as c (cost)
 order by u.place
