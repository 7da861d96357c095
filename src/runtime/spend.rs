//! What the model calls of this server cost, as counters: tokens are gathered where answers are stored, and priced every
//! few seconds by the statement that knows the prices. A crash loses the last seconds of it, nothing else: what a run
//! costs is computed from the tables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::store;
use crate::store::commit::Tokens;
use crate::store::prices::{self, Use};

/// Time between two looks at the prices.
const EVERY: Duration = Duration::from_secs(5);

/// What was used and not priced yet.
#[derive(Default)]
pub(super) struct Spend {
    /// By model, and whether the provider counted any tokens.
    uses: Mutex<HashMap<(String, bool), (Use, u64)>>,
}

impl Spend {
    fn with(&self, model: &str, counted: bool, add: impl FnOnce(&mut (Use, u64))) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || (Use { model: model.to_owned(), ..Use::default() }, 0);
        add(uses.entry((model.to_owned(), counted)).or_insert_with(fresh));
    }

    /// A model answered.
    pub fn used(&self, model: &str, tokens: Tokens) {
        self.with(model, tokens.prompt + tokens.completion > 0, |(sum, calls)| {
            sum.prompt += tokens.prompt;
            sum.cached += tokens.cached.unwrap_or(0);
            sum.completion += tokens.completion;
            *calls += 1;
        });
    }

    fn take(&self) -> Vec<(Use, u64)> {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        uses.into_values().collect()
    }

    fn put_back(&self, uses: Vec<(Use, u64)>) {
        for (one, many) in uses {
            self.with(&one.model, one.prompt + one.completion > 0, |(sum, calls)| {
                sum.prompt += one.prompt;
                sum.cached += one.cached;
                sum.completion += one.completion;
                *calls += many;
            });
        }
    }
}

/// Price until the server has closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut parts = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shared.closed.cancelled() => return,
        }
        let uses = shared.spend.take();
        if uses.is_empty() {
            continue;
        }
        match price(&shared.pool, &uses).await {
            Ok(costs) => count(&uses, costs, &mut parts),
            Err(error) => {
                tracing::debug!(?error, "could not look at the prices; counting on");
                shared.spend.put_back(uses);
            }
        }
    }
}

async fn price(pool: &store::Pool, uses: &[(Use, u64)]) -> Result<Vec<Option<(String, f64)>>, store::Error> {
    let uses: Vec<_> = uses.iter().map(|(one, _)| one.clone()).collect();
    prices::charge(&pool.get().await?, &uses).await
}

/// Counters are whole; `parts` keeps what is less than one until it is.
fn count(uses: &[(Use, u64)], costs: Vec<Option<(String, f64)>>, parts: &mut HashMap<(String, String), f64>) {
    for ((one, calls), cost) in uses.iter().zip(costs) {
        let model = one.model.clone();
        let Some((currency, micros)) = cost else {
            metrics::counter!("tenure_unpriced_calls_total", "model" => model).increment(*calls);
            continue;
        };
        let part = parts.entry((model.clone(), currency.clone())).or_default();
        *part += micros;
        let whole = part.floor();
        *part -= whole;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and no fraction"
        )]
        metrics::counter!("tenure_cost_micros_total", "model" => model, "currency" => currency)
            .increment(whole as u64);
    }
}
