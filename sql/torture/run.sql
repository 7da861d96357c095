-- Where execution $1 stands. Asked all the time: what takes long to plan is not in it.
-- Returns: status, reason, turn, kinds (of its events, oldest first), ready (tools that wait)
select e.status, e.reason, (p.state ->> 'turn')::integer as turn,
       array(select v.kind from tenure.events v where v.execution_id = e.id order by v.seq) as kinds,
       array(select t.name from tenure.queue q join tenure.tasks t on t.execution_id = q.execution_id and t.id = q.attempt_id
              where q.execution_id = e.id and q.worker_id is null and not q.deferred) as ready
  from tenure.executions e
 cross join lateral tenure.progress(e.id) p
 where e.id = $1
