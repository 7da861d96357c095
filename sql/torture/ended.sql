-- Every execution that has ended, and a hash of all that is known of it but for late results that were refused.
-- Returns: id, hash
select e.id, md5(concat_ws('/', e::text,
           (select string_agg(v::text, '/' order by v.seq) from tenure.events v where v.execution_id = e.id and v.kind <> 'result_refused'),
           (select string_agg(r::text, '/' order by r.attempt_id) from tenure.results r where r.execution_id = e.id),
           (select string_agg(m::text, '/' order by m.n) from tenure.messages m where m.execution_id = e.id))) as hash
  from tenure.executions e
 where e.ended_at is not null
