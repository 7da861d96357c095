//! `GET /actuator/prometheus`: what this server counted, and how the queues stand now.

use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use super::{Problem, State};
use crate::store::read::queues;

pub fn routes(app: &mut ServiceConfig) {
    app.service(web::resource(["/actuator/prometheus", "/metrics"]).get(prometheus));
}

/// A gauge's name and how it is read.
type Gauge = (&'static str, fn(&queues::Gauges) -> f64);

async fn prometheus(state: Data<State>) -> Result<HttpResponse, Problem> {
    let mut text = state
        .config
        .metrics
        .as_ref()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default();
    let all = queues::gauges(&state.runtime.pool().get().await?).await?;
    let gauges: [Gauge; 5] = [
        ("tenure_queue_ready", |d| count(d.ready)),
        ("tenure_queue_leased", |d| count(d.leased)),
        ("tenure_queue_deferred", |d| count(d.deferred)),
        ("tenure_queue_oldest_seconds", |d| d.oldest_secs),
        ("tenure_queue_workers", |d| count(d.live_workers)),
    ];
    for (name, value) in gauges {
        let _ = writeln!(text, "# TYPE {name} gauge");
        for depth in &all {
            let (queue, domain) = (label(&depth.queue), label(&depth.domain));
            let _ = writeln!(text, "{name}{{queue=\"{queue}\",domain=\"{domain}\"}} {}", value(depth));
        }
    }
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge beyond 2^53 is of no use")]
fn count(n: i64) -> f64 {
    n as f64
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
