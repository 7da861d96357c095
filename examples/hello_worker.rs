//! A worker in fifteen lines: `cargo run --example hello_worker`, then run an agent that has the tool `hello`.
use serde::{Deserialize, Serialize};
use tenure::worker::{Error, ToolError, Worker, stop_signal};

#[derive(Deserialize)]
struct Guest {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    text: String,
}

async fn hello(guest: Guest) -> Result<Greeting, ToolError> {
    Ok(Greeting { text: format!("Hello, {}!", guest.name) })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    Worker::new("http://localhost:6767").tool("hello", hello).concurrency(4).run_until(stop_signal()).await
}
