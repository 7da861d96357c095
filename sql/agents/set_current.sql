-- From now on, starting agent $1 runs version $2.
update tenure.agents set current = $2, updated_at = now() where name = $1
