//! The loop of one tool: as many attempts as there are free slots, until told to stop.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    attempt,
    input::Task,
    report,
    server::{Failure, Server},
    tool::Tool,
};

/// Pause before the next try when there is no server. Constant: the moment it is back matters.
const RECONNECT: Duration = Duration::from_millis(200);
/// Pause when there is a server and it says no.
const REFUSED: Duration = Duration::from_secs(2);

/// Register the tool, then poll and perform until `stop`; returns when everything in flight is reported.
pub(super) async fn run(server: Arc<Server>, tool: Arc<Tool>, stop: CancellationToken) {
    let mut outage = Outage::default();
    while let Err(error) = server.register(&tool).await {
        if stop.is_cancelled() {
            return;
        }
        outage.pause_after(&error, &tool, &stop).await;
        if !error.passes() {
            break; // A server that keeps no definitions; its own defaults hold.
        }
    }

    let slots = Arc::new(Semaphore::new(tool.slots()));
    let running = TaskTracker::new();
    while has_free_slot(&slots, &stop).await {
        // Never cut off: an attempt may be on its way to us, and nobody else would get it before its lease ends.
        match server.poll(&tool, slots.available_permits()).await {
            Ok(tasks) => {
                outage.is_over(&tool);
                for task in tasks {
                    match slots.clone().try_acquire_owned() {
                        Ok(slot) if !stop.is_cancelled() => {
                            let session = perform_chain(server.clone(), tool.clone(), task, stop.clone());
                            running.spawn(async move {
                                session.await;
                                drop(slot);
                            });
                        }
                        _ => report::hand_back(&server, &task).await,
                    }
                }
            }
            Err(error) => outage.pause_after(&error, &tool, &stop).await,
        }
    }
    running.close();
    running.wait().await;
}

/// Wait for a free slot; false when told to stop.
async fn has_free_slot(slots: &Semaphore, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        slot = slots.acquire() => slot.is_ok(),
    }
}

/// One attempt, and each next one that the server hands over in its reply.
async fn perform_chain(server: Arc<Server>, tool: Arc<Tool>, first: Task, stop: CancellationToken) {
    let mut next = Some(first);
    while let Some(task) = next {
        let outcome = attempt::perform(&server, &tool, &task).await;
        let pause = attempt::third_of_lease(&tool, &task);
        next = report::deliver(&server, &task, outcome, pause, !stop.is_cancelled()).await;
        if let Some(task) = next.take_if(|_| stop.is_cancelled()) {
            report::hand_back(&server, &task).await;
        }
    }
}

/// Says once that the server is away, and once that it is back.
#[derive(Default)]
struct Outage {
    told: bool,
}

impl Outage {
    async fn pause_after(&mut self, error: &Failure, tool: &Tool, stop: &CancellationToken) {
        if !self.told {
            tracing::warn!(%error, tool.name = tool.name, "can't get work for {}; trying on", tool.name);
            self.told = true;
        }
        let pause = if error.is_outage() { RECONNECT } else { REFUSED };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }

    fn is_over(&mut self, tool: &Tool) {
        if std::mem::take(&mut self.told) {
            tracing::info!(tool.name = tool.name, "polling for {} again", tool.name);
        }
    }
}
