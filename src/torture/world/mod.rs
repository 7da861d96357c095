//! What can go wrong around the servers: Postgres dies, fills up or moves, the network loses, repeats or is cut, processes
//! are killed or frozen at any moment.

pub mod http_proxy;
pub mod netns;
