-- Forget every run: each round begins with empty tables.
truncate tenure.executions, tenure.tasks, tenure.queue, tenure.results, tenure.events, tenure.messages;
truncate bench.executions, bench.tasks, bench.queue, bench.results, bench.events, bench.messages, bench.small_queue,
         bench.small_events, bench.commits;
