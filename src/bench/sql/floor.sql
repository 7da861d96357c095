-- The tables of the floor: those that a step writes, with the same columns, checks and indexes, and nothing else.
create schema if not exists bench;
create table bench.executions (like tenure.executions including all);
create table bench.tasks (like tenure.tasks including all);
create table bench.queue (like tenure.queue including all);
create table bench.results (like tenure.results including all);
create table bench.events (like tenure.events including all);
create table bench.messages (like tenure.messages including all);
alter table bench.executions set (fillfactor = 80);
alter table bench.queue set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
                             autovacuum_vacuum_cost_delay = 0);
-- The three rows of the smallest queue that there is, and one row of one commit.
create table bench.small_queue (id bigint primary key, run_id bigint not null, step integer not null, queue integer not null,
                                priority smallint not null, run_at timestamptz not null, owner integer);
create index small_ready on bench.small_queue (queue, priority, run_at, id) where owner is null;
create table bench.small_events (run_id bigint not null, seq integer not null, at timestamptz not null, data text,
                                 primary key (run_id, seq));
create table bench.commits (n bigint generated always as identity primary key, data text not null);
