-- What model calls cost: prices with dates, and views that multiply.
--
--   prices          one row per model (or family of models) and day from which it holds; changed by people only
--   price_of        the price of a model at a time
--   model_call      one row per answer of a model, with what it cost
--   cost_by_run     one row per run and currency
--   cost_by_agent   one row per agent and currency
--   cost_by_day     one row per day (UTC), agent, model and currency
--
-- Money is never stored with a call. It is computed from the call's tokens and the price that was in force when the
-- call ended, so a price that is entered late counts for what it is dated to, and one dated to now changes nothing
-- before. An answer that was copied from another run costs nothing again. What has no price has no cost: `cost` and `currency` are null then, never 0. Currencies are never added up.

-- Of the prompt's tokens: those that the provider read from its cache, where it says so.
alter table tenure.results add column cached_tokens bigint;

-- Results are written in the order of time: a few bytes per 32 pages say which days they are of.
create index results_by_day on tenure.results using brin (((ended_at at time zone 'UTC')::date))
    with (pages_per_range = 32, autosummarize = on);

create table tenure.prices (
    id          bigint      generated always as identity primary key,
    model       text        not null check (model <> '' and length(model) <= 300),  -- `provider/name`; with `*` at its end all that begin so
    currency    text        not null,
    prompt      numeric     not null,               -- per million tokens
    completion  numeric     not null,
    cached      numeric,                            -- null: as `prompt`
    valid_from  timestamptz not null,
    valid_until timestamptz,                        -- null: until another row of the same model begins
    note        text,
    set_at      timestamptz not null default now(),
    set_by      text        not null,
    is_family   boolean     not null generated always as (right(model, 1) = '*') stored,
    prefix      text        not null generated always as (rtrim(model, '*')) stored,
    unique (model, valid_from),
    constraint currency_is_a_code          check (currency ~ '^[A-Z]{3}$'),
    constraint prices_are_not_negative     check (prompt >= 0 and completion >= 0 and cached >= 0),
    constraint prices_are_numbers
        check (prompt < 'infinity' and completion < 'infinity' and (cached is null or cached < 'infinity')),
    constraint price_ends_after_it_begins  check (valid_until > valid_from),
    constraint price_begins_at_a_time      check (isfinite(valid_from) and isfinite(valid_until))
);

-- A model as prices name it. Agents write the provider in any case.
create function tenure.model_name(model text) returns text language sql immutable parallel safe as $$
    select lower(split_part(model, '/', 1)) || substr(model, length(split_part(model, '/', 1)) + 1)
$$;

-- The price of a model, named like that, at a time: its own before one of its family, the longest family first, the newest
-- of those.
create function tenure.price_of(model text, at timestamptz) returns setof tenure.prices rows 1 language sql stable as $$
    select p.*
      from tenure.prices p
     where case when p.is_family then starts_with(price_of.model, p.prefix) else p.model = price_of.model end
       and p.valid_from <= price_of.at
       and (p.valid_until > price_of.at) is not false
     order by p.is_family, length(p.model) desc, p.valid_from desc
     limit 1
$$;

-- What so many tokens cost; null when that is not known: no price, or a provider that counts no tokens but takes money.
create function tenure.cost_of(prompt numeric, cached numeric, completion numeric, price_prompt numeric,
                               price_cached numeric, price_completion numeric)
returns numeric language sql immutable parallel safe as $$
    select case when coalesce(prompt, 0) + coalesce(completion, 0) > 0 or price_prompt + price_completion = 0
                then (greatest(coalesce(prompt, 0) - coalesce(cached, 0), 0) * price_prompt
                      + coalesce(cached, 0) * coalesce(price_cached, price_prompt)
                      + coalesce(completion, 0) * price_completion) / 1000000 end
$$;

-- Times at which any price begins or ends, in order. Between two of them every price is the same, so that calls can be
-- added up before they are priced: width_bucket(time, price_changes()).
create function tenure.price_changes() returns timestamptz[] language sql stable as $$
    select array(select distinct c.at
                   from tenure.prices p cross join lateral (values (p.valid_from), (p.valid_until)) c (at)
                  where c.at is not null
                  order by c.at)
$$;

create view tenure.model_call as
select r.execution_id,
       r.attempt_id,
       r.turn,
       t.name                              as model,
       r.ended_at                          as at,
       r.prompt_tokens,
       r.cached_tokens,
       r.completion_tokens,
       case when c.cost is not null then p.currency end as currency,
       c.cost
  from tenure.results r
  join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
  left join lateral tenure.price_of(tenure.model_name(t.name), r.ended_at) p on true
 cross join lateral tenure.cost_of(r.prompt_tokens, r.cached_tokens, r.completion_tokens, p.prompt, p.cached,
                                   p.completion) as c (cost)
 where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null;

create view tenure.cost_by_run as
select u.execution_id,
       case when c.cost is not null then p.currency end as currency,
       sum(c.cost)                         as cost,
       sum(u.calls)::bigint                as calls,
       sum(u.prompt)::bigint               as prompt_tokens,
       sum(u.cached)::bigint               as cached_tokens,
       sum(u.completion)::bigint           as completion_tokens
  from (select r.execution_id, tenure.model_name(t.name) as model, max(r.ended_at) as at, count(*) as calls, sum(r.prompt_tokens) as prompt,
               sum(r.cached_tokens) as cached, sum(r.completion_tokens) as completion
          from tenure.results r
          join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
         where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null
         group by r.execution_id, 2, width_bucket(r.ended_at, (select tenure.price_changes())),
                  r.prompt_tokens + r.completion_tokens > 0) u
  left join lateral tenure.price_of(u.model, u.at) p on true
 cross join lateral tenure.cost_of(u.prompt, u.cached, u.completion, p.prompt, p.cached, p.completion) as c (cost)
 group by u.execution_id, 2;

create view tenure.cost_by_day as
select u.day,
       u.agent,
       u.model,
       case when c.cost is not null then p.currency end as currency,
       sum(c.cost)                         as cost,
       sum(u.calls)::bigint                as calls,
       sum(u.prompt)::bigint               as prompt_tokens,
       sum(u.cached)::bigint               as cached_tokens,
       sum(u.completion)::bigint           as completion_tokens
  from (select (r.ended_at at time zone 'UTC')::date as day, e.agent, tenure.model_name(t.name) as model,
               max(r.ended_at) as at, count(*) as calls, sum(r.prompt_tokens) as prompt, sum(r.cached_tokens) as cached,
               sum(r.completion_tokens) as completion
          from tenure.results r
          join tenure.tasks t on t.execution_id = r.execution_id and t.id = r.attempt_id
          join tenure.executions e on e.id = r.execution_id
         where r.kind = 'model' and r.outcome = 'completed' and r.copy_of is null
         group by (r.ended_at at time zone 'UTC')::date, e.agent, 3,
                  width_bucket(r.ended_at, (select tenure.price_changes())), r.prompt_tokens + r.completion_tokens > 0) u
  left join lateral tenure.price_of(u.model, u.at) p on true
 cross join lateral tenure.cost_of(u.prompt, u.cached, u.completion, p.prompt, p.cached, p.completion) as c (cost)
 group by u.day, u.agent, u.model, 4;

create view tenure.cost_by_agent as
select agent,
       currency,
       sum(cost)                           as cost,
       sum(calls)::bigint                  as calls,
       sum(prompt_tokens)::bigint          as prompt_tokens,
       sum(cached_tokens)::bigint          as cached_tokens,
       sum(completion_tokens)::bigint      as completion_tokens
  from tenure.cost_by_day
 group by agent, currency;
