-- What lists of executions need: times as ranges of ids, a search for words, and the filters that somebody kept.
--
--   id_at(time)            the lowest id of a time, so that a time is a range of the primary key
--   said(id)               every text of a run, to look for words
--   saved_views            filters with a name

-- The lowest version-7 id of a millisecond: `id >= tenure.id_at(now() - interval '1 day')` is what started since then.
create function tenure.id_at(at timestamptz) returns uuid language sql immutable strict parallel safe as $$
    select (lpad(to_hex(floor(extract(epoch from greatest('epoch', least(at, 'epoch'::timestamptz + interval '8000 years')))
                              * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Every text of a run: what it was given, what its model and its tools said, why it ended, its names. JSON is as it was
-- sent, with its escapes; prompt and result are without. A function, so that a search looks at one run at a time. What
-- takes more than a megabyte to store is left out: reading one such value takes longer than a thousand others.
create function tenure.said(execution uuid) returns table (what text, text text) language sql stable parallel safe as $$
    select t.what, t.text
      from tenure.executions e
     cross join lateral (values ('prompt',  case when pg_column_size(e.input) < 1000000 then e.input ->> 'prompt' end),
                                ('result',  case when pg_column_size(e.output) < 1000000 then e.output ->> 'result' end),
                                ('reason',  e.reason),
                                ('session', e.session_id),
                                ('key',     e.start_key),
                                ('input',   case when pg_column_size(e.input) < 1000000 then e.input::text end),
                                ('output',  case when pg_column_size(e.output) < 1000000 then e.output::text end)) t (what, text)
     where e.id = execution and t.text is not null
    union all
    select 'message', m.content
      from tenure.messages m
     where m.execution_id = execution and pg_column_size(m.content) < 1000000
    union all
    select t.what, t.text
      from tenure.results r
     cross join lateral (values ('returned', case when pg_column_size(r.output) < 1000000 then r.output::text end), ('error', r.error)) t (what, text)
     where r.execution_id = execution and t.text is not null
$$;

create table tenure.saved_views (
    id          bigint      generated always as identity primary key,
    name        text        not null unique check (length(name) between 1 and 60),
    query       text        not null check (length(query) <= 2000),  -- in the words of the list's filter
    created_at  timestamptz not null default now(),
    created_by  text        not null
);
