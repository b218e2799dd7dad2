//! A small application for the tests. It runs as the application of a `RauthyCluster`, talks to the agent in its own
//! pod over the agent's socket as any application would (or, where there is none, to the cache inside itself), and serves
//! what it was told over HTTP:
//!
//! ```text
//! GET  /health, and where Rauthy has it: /auth/v1/health, /auth/v1/ping
//! POST /put?cache=&key=&value=[&ack=leader][&deadline_ms=]     → Answer
//! POST /delete?cache=&key=                                     → Answer
//! GET  /get?cache=&key=                                        → Answer
//! GET  /get-all?cache=&prefix=&from=&count=                    → Vec<Answer>, of prefix-from … in this order
//! POST /fill?cache=&prefix=&count=&size=                       → the number of values stored
//! ```
//!
//! Clients elsewhere ask the same agent by [`tunnel`].

pub mod history;
pub mod serve;
pub mod tunnel;

pub use history::{Answer, Outcome};
