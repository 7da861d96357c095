-- Make room for a version of agent $1: whoever else deploys the same name waits until this transaction ends.
insert into tenure.agents (name, current) values ($1, 1)
    on conflict (name) do update set updated_at = now()
