-- What a live run waits for is what people are asked, and an ended one asks nobody.
select e.id, x.open, y.asked from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 cross join lateral (select count(*) as open from json_array_elements(p.state -> 'open') o (task)
                      where json_typeof(o.task -> 'approval') = 'object') x
 cross join lateral (select count(*) as asked from tenure.approvals a
                      where a.execution_id = e.id and a.delivered_at is null) y
 where x.open <> y.asked
