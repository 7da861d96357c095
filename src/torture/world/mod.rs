//! What can go wrong around the servers: Postgres dies, fills up or moves, the network loses, repeats or is cut, processes
//! are killed or frozen at any moment.

mod dice;
mod faults;
mod ground;
pub mod http_proxy;
mod load;
pub mod netns;
mod storm;

pub use storm::random;
