//! The edge: programs and people come in here, over HTTP.
//!
//! ```text
//!   auth ─► log ─► shape of errors ─► wire    the Agentspan and Conductor protocols
//!                                  ├► api     our own JSON
//!                                  ├► ui      pages
//!                                  └► health
//! ```
//!
//! Handlers parse, make one call into the runtime or the store, and answer. Nothing here decides anything, and
//! nothing is remembered that another server would miss.

pub mod api;
mod auth;
mod body;
mod deciding;
mod health;
mod metrics;
mod outer;
mod price;
mod problem;
mod ui;
pub mod wire;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, PathConfig, QueryConfig, ServiceConfig};

use crate::runtime::Runtime;
pub use auth::{ApiKey, is_open};
pub use body::{MAX_BODY, reply};
pub use problem::Problem;
#[cfg(any(test, fuzzing))]
pub use ui::fuzz;

/// Says whether a model provider is configured, and if not, what to do.
pub type ProviderCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What the edge is told at its start.
#[derive(Clone)]
pub struct Config {
    /// Whoever comes must have it; `None` lets everybody in.
    pub api_key: Option<ApiKey>,
    /// Whether a model provider, in lower case, is configured.
    pub provider: ProviderCheck,
    /// What this server counts, if it does.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
}

/// Everything that handlers share. One per process, cloned to the HTTP threads.
#[derive(Clone)]
pub struct State {
    /// The runtime.
    pub runtime: Runtime,
    /// What the edge was told at its start.
    pub config: Config,
    /// Pages that somebody has open.
    live: ui::Live,
    /// The numbers above the list of executions.
    summary: ui::Summary,
    /// How many questions wait for people.
    waiting: ui::Waiting,
    /// What streams of runs have read.
    pages: Arc<wire::Pages>,
}

impl State {
    /// Put together what handlers share.
    #[must_use]
    pub fn new(runtime: Runtime, config: Config) -> Self {
        Self {
            runtime,
            config,
            live: ui::Live::default(),
            summary: ui::Summary::default(),
            waiting: ui::Waiting::default(),
            pages: Arc::default(),
        }
    }
}

/// All routes behind all the layers: the one place to read what this server answers. Layers run from the last `wrap`
/// inwards.
pub fn routes(app: &mut ServiceConfig, state: &State) {
    app.app_data(Data::new(state.clone()))
        .app_data(PathConfig::default().error_handler(|e, r| Problem::at(r, 400, e.to_string()).into()))
        .app_data(QueryConfig::default().error_handler(|e, r| Problem::at(r, 400, e.to_string()).into()))
        .service(
            web::scope("")
                .wrap(from_fn(outer::shape_errors))
                .wrap(from_fn(outer::catch_panics))
                .wrap(from_fn(ui::speak_html))
                .wrap(from_fn(outer::log))
                .wrap(from_fn(auth::require))
                .configure(wire::routes)
                .configure(health::routes)
                .configure(metrics::routes)
                .configure(api::routes)
                .configure(ui::routes)
                .default_service(web::to(outer::no_such_route)),
        );
}
