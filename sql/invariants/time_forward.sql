-- Time never runs backwards inside an execution.
select execution_id, seq from (
       select execution_id, seq, at, lag(at) over (partition by execution_id order by seq) as before from tenure.events) v
 where at < before
