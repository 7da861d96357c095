-- Who said what about question $2 of execution $1, oldest first.
-- Returns: voter, vote, via, reason, is_edited, round, at
select voter, vote, via, reason, edited is not null as is_edited, round, at
  from tenure.approval_votes where execution_id = $1 and approval_id = $2 order by at
