-- The ids of queues by name and domain, made where they are missing. Parameters, one array each: $1 name, $2 domain
-- Returns: name, domain, id
with wanted as (
    select distinct * from unnest($1::text[], $2::text[]) as w (name, domain)
), made as (
    insert into tenure.queues (name, domain)
    select name, domain from wanted w
     where not exists (select from tenure.queues q where q.name = w.name and q.domain = w.domain)
        on conflict (name, domain) do update set name = excluded.name
    returning name, domain, id
)
select name, domain, id from made
union
select q.name, q.domain, q.id from tenure.queues q join wanted w on w.name = q.name and w.domain = q.domain
