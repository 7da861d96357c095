-- What a run copied is what the other one has, without gaps, and the next event says where it came from.
select f.id, f.forked_from from tenure.executions f
 where f.forked_from is not null
   and ((select count(*) from tenure.events v where v.execution_id = f.id and v.seq <= f.forked_at) <> f.forked_at
        or not exists (select from tenure.events v where v.execution_id = f.id and v.seq = f.forked_at + 1 and v.kind = 'forked')
        or exists (select from tenure.events v
                     join tenure.events o on o.execution_id = f.forked_from and o.seq = v.seq
                    where v.execution_id = f.id and v.seq <= f.forked_at
                      and (v.kind, v.at, v.data::text) is distinct from (o.kind, o.at, o.data::text)))
