-- Let a paused queue go on and write down who did it. Parameters: $1 queue, $2 who, $3 why
-- Returns: id; no row when there is no such queue or it is not paused
with resumed as (
    update tenure.queues
       set paused_at = null, paused_by = null, pause_reason = null
     where id = $1 and paused_at is not null
    returning id
), noted as (
    insert into tenure.queue_changes (queue_id, change, by, reason, at)
    select id, 'resumed', $2, $3, clock_timestamp() from resumed
)
select id from resumed
