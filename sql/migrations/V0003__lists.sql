-- What lists of executions need: times as ranges of ids, a search for words, and the filters that somebody kept.
--
--   id_at(time)            the lowest id of a time, so that a time is a range of the primary key
--   mentions(id, word)     whether a word was said in a run, by whom ever
--   saved_views            filters with a name

-- The lowest version-7 id of a millisecond: `id >= tenure.id_at(now() - interval '1 day')` is what started since then.
create function tenure.id_at(at timestamptz) returns uuid language sql immutable strict parallel safe as $$
    select (lpad(to_hex(floor(extract(epoch from greatest('epoch', least(at, 'epoch'::timestamptz + interval '8000 years')))
                              * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- A text as it stands inside a JSON string.
create function tenure.quoted(word text) returns text language sql immutable strict parallel safe as
$$ select substr(to_json(word)::text, 2, length(to_json(word)::text) - 2) $$;

-- Whether a word, in any case, occurs in what a run was given, what its model and its tools said, why it ended, its
-- session or its start key. Reads all of the run.
create function tenure.mentions(execution uuid, word text) returns boolean language sql stable parallel safe as $$
    select exists (
               select from tenure.executions e
                where e.id = execution
                  and (strpos(lower(e.input ->> 'prompt'), lower(word)) > 0
                       or strpos(lower(e.output ->> 'result'), lower(word)) > 0
                       or strpos(lower(e.reason), lower(word)) > 0
                       or strpos(lower(e.session_id), lower(word)) > 0
                       or strpos(lower(e.start_key), lower(word)) > 0
                       or strpos(lower(e.input::text), lower(tenure.quoted(word))) > 0
                       or strpos(lower(e.output::text), lower(tenure.quoted(word))) > 0))
        or exists (
               select from tenure.messages m
                where m.execution_id = execution and strpos(lower(m.content), lower(word)) > 0)
        or exists (
               select from tenure.results r
                where r.execution_id = execution
                  and (strpos(lower(r.output::text), lower(tenure.quoted(word))) > 0
                       or strpos(lower(r.error), lower(word)) > 0))
$$;

create table tenure.saved_views (
    id          bigint      generated always as identity primary key,
    name        text        not null unique check (length(name) between 1 and 60),
    query       text        not null check (length(query) <= 2000),  -- in the words of the list's filter
    created_at  timestamptz not null default now(),
    created_by  text        not null
);
