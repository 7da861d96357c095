-- Take back all that is queued of executions $1 and write down that it was; $2 is the time.
with taken as (
    delete from tenure.queue where execution_id = any($1::uuid[])
    returning execution_id, attempt_id, worker_id, first_leased, polls
)
insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, worker, polls, started_at, ended_at)
select t.execution_id, t.id, t.kind, t.turn, t.call, 'withdrawn', w.name, taken.polls, taken.first_leased,
       greatest($2::timestamptz, taken.first_leased)
  from taken
  join tenure.tasks t on t.execution_id = taken.execution_id and t.id = taken.attempt_id
  left join tenure.workers w on w.id = taken.worker_id
