-- Forget every run: each round begins with empty tables.
truncate tenure.executions, tenure.tasks, tenure.queue, tenure.results, tenure.events, tenure.messages, tenure.bulk_jobs,
         tenure.deleted_runs, tenure.past_calls;
truncate bench.executions, bench.tasks, bench.queue, bench.results, bench.events, bench.messages, bench.small_queue,
         bench.small_events, bench.commits;
