-- Up to $1 questions that nobody has decided, oldest first, after question $2 (null: from the first); of tool $3, agent $4,
-- group $5 and execution $6 where those are given. Arguments are cut.
select a.id, a.execution_id, a.agent, a.kind, a.tool, 'pending' as state, left(a.arguments::text, 500) as arguments, a.of_group,
       a.quorum, a.asked_at, a.expires_at, a.on_expiry, a.escalate_to, a.decided_at, a.decided_by, a.decided_via, a.reason,
       false as is_edited,
       (select count(*) from tenure.approval_votes v where v.execution_id = a.execution_id and v.approval_id = a.id
           and v.round = a.round and v.vote = 'approve') as approved
  from tenure.approvals a
 where a.decision is null
   and ($2::uuid is null or (a.asked_at, a.id) > (select p.asked_at, p.id from tenure.approvals p where p.id = $2))
   and ($3::text is null or a.tool = $3) and ($4::text is null or a.agent = $4)
   and ($5::text is null or a.of_group = $5) and ($6::uuid is null or a.execution_id = $6)
 order by a.asked_at, a.id
 limit $1
