-- All approval policies, in the order in which they are looked at.
select name, position, agent, tool, mode, argument, above, equals::text as equals, waives, of_group, quorum, timeout_secs,
       on_timeout, escalate_to, not_requester, set_at, set_by
  from tenure.approval_policies
 order by position, name
