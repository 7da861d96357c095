//! What a server counts, in the form that Prometheus reads. Names carry their unit.
//!
//! | metric | labels | when |
//! |---|---|---|
//! | `tenure_commits_total` | | a committer's transaction is durable |
//! | `tenure_committed_items` | | how many items it held |
//! | `tenure_commit_seconds` | | how long it took |
//! | `tenure_commit_failures_total` | | it had to be tried again |
//! | `tenure_executions_ended_total` | `status` | an execution ended |
//! | `tenure_attempts_ended_total` | `kind`, `outcome` | an attempt ended |
//! | `tenure_model_call_seconds` | `model`, `outcome` | a model call ended here |
//! | `tenure_tokens_total` | `model`, `type` | a model's answer was stored; `cached` ones are part of the `prompt` |
//! | `tenure_cost_micros_total` | `model`, `currency` | the same, a few seconds later: what it cost, in millionths |
//! | `tenure_unpriced_calls_total` | `model` | the same, of an answer whose cost is not known |
//! | `tenure_claims_total` | | attempts handed to workers |
//! | `tenure_claim_seconds` | | a claim's statement |
//!
//! Gauges are read from the database when somebody asks: `tenure_queue_ready`, `tenure_queue_leased`,
//! `tenure_queue_deferred`, `tenure_queue_oldest_seconds` and `tenure_queue_workers`, by `queue` and `domain`.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Begin to count; the handle renders what was counted.
///
/// # Errors
///
/// When this process counts already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let seconds =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
    PrometheusBuilder::new()
        .set_buckets(&seconds)?
        .set_buckets_for_metric(
            metrics_exporter_prometheus::Matcher::Full("tenure_committed_items".into()),
            &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
        )?
        .install_recorder()
}
