-- Register a server's session. Parameters: $1 its queue, $2 its name
-- Returns: id
insert into tenure.workers (queue_id, name, kind) values ($1, $2, 'server') returning id
