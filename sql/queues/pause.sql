-- Pause a queue and write down who did it. Parameters: $1 queue, $2 who, $3 why
-- Returns: paused_at; no row when there is no such queue or it is paused already
with paused as (
    update tenure.queues
       set paused_at = clock_timestamp(), paused_by = $2, pause_reason = $3
     where id = $1 and paused_at is null
    returning id, paused_at
), noted as (
    insert into tenure.queue_changes (queue_id, change, by, reason, at)
    select id, 'paused', $2, $3, paused_at from paused
)
select paused_at from paused
