-- Up to $1 questions that were decided, newest decision first, before question $2 (null: from the newest); of tool $3, agent
-- $4, group $5 and execution $6 where those are given. Arguments are cut.
select a.id, a.execution_id, a.agent, a.kind, a.tool, a.decision as state, left(a.arguments::text, 500) as arguments, a.of_group,
       a.quorum, a.asked_at, a.expires_at, a.on_expiry, a.escalate_to, a.decided_at, a.decided_by, a.decided_via, a.reason,
       a.edited is not null as is_edited, 0::bigint as approved
  from tenure.approvals a
 where a.decision is not null
   and ($2::uuid is null or (a.decided_at, a.id) < (select p.decided_at, p.id from tenure.approvals p where p.id = $2))
   and ($3::text is null or a.tool = $3) and ($4::text is null or a.agent = $4)
   and ($5::text is null or a.of_group = $5) and ($6::uuid is null or a.execution_id = $6)
 order by a.decided_at desc, a.id desc
 limit $1
