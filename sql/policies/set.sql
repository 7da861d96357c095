-- Set a policy, or replace the one of this name: $1 name, $2 position, $3 agent, $4 tool, $5 mode, $6 argument, $7 above,
-- $8 equals, $9 waives, $10 group, $11 quorum, $12 seconds, $13 what happens then, $14 who is asked then, $15 not the
-- requester; by $16
insert into tenure.approval_policies (name, position, agent, tool, mode, argument, above, equals, waives, of_group, quorum,
                                      timeout_secs, on_timeout, escalate_to, not_requester, set_by)
values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12, $13, $14, $15, $16)
    on conflict (name) do update
   set position = excluded.position, agent = excluded.agent, tool = excluded.tool, mode = excluded.mode,
       argument = excluded.argument, above = excluded.above, equals = excluded.equals, waives = excluded.waives,
       of_group = excluded.of_group, quorum = excluded.quorum, timeout_secs = excluded.timeout_secs,
       on_timeout = excluded.on_timeout, escalate_to = excluded.escalate_to, not_requester = excluded.not_requester,
       set_at = now(), set_by = excluded.set_by
