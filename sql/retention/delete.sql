-- Delete runs $1 for $2: those that ended $3 seconds ago or earlier, by bulk job $4. $5 events that were seen of each (null: any
-- number), $6 the file that they were written to.
-- Returns: id, and why it was left (null: it is gone)
select id, why from tenure.delete_runs($1, $2, make_interval(secs => $3::double precision), $4, $5, $6)
