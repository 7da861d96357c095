-- The first $2 steps of execution $1 in the order of its turns, each by its newest try: what a tool was given and gave, what
-- a model said and asked for. Ids that differ from run to run are left out; texts are cut, what takes more than 4 MB to
-- store is not looked into.
-- Returns: kind, turn, call, name, given, given_hash, came, came_hash, is_over
with steps as (
    select distinct on (t.turn, p.place, t.call) t.kind, t.turn, t.call, p.place, t.name,
           case when t.kind = 'tool' and pg_column_size(t.input) < 4000000 then t.input::text end as given,
           coalesce(r.error,
                    case when r.output is null or pg_column_size(r.output) >= 4000000 then null
                         when t.kind <> 'model' then r.output::text
                         else concat_ws(E'\n', nullif(r.output ->> 'text', ''), (
                                  select string_agg((c.one ->> 'name') || '(' || (c.one -> 'arguments')::text || ')', E'\n' order by c.n)
                                    from json_array_elements(case when json_typeof(r.output -> 'calls') = 'array'
                                                                  then r.output -> 'calls' else '[]' end)
                                         with ordinality as c (one, n))) end) as came,
           r.outcome is not null and r.outcome <> 'withdrawn' as is_over
      from tenure.tasks t
     cross join lateral (select case t.kind when 'model' then 1 when 'tool' then 2 else 3 end as place) p
      left join tenure.results r on r.execution_id = t.execution_id and r.attempt_id = t.id
     where t.execution_id = $1
     order by t.turn, p.place, t.call, t.attempt desc
     limit $2
)
select kind, turn, call, left(name, 200) as name, left(given, 4000) as given, md5(given) as given_hash,
       left(came, 4000) as came, md5(came) as came_hash, is_over
  from steps
 order by turn, place, call
