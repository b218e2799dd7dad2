//! The operator of RauthyClusters.
//!
//! ```text
//! RauthyCluster ─► dereference ─► validate ─► build ─► apply ─► status
//!                  (reads)        (pure)      (pure)   (writes) (asks the agents, computes purely, writes)
//! ```
//!
//! * [`crd`]: what a user writes and reads
//! * [`reconcile`]: the pipeline, one file per step
//! * [`agents`]: the admin client to the pods
//! * [`controller`]: what starts the pipeline: watches, backoff
//! * [`leader`]: which of the operator's replicas acts
//! * [`throttle`]: an API server that asks to be left alone
//! * [`probes`], [`metrics`]: what Kubernetes and Prometheus ask
//! * [`check`]: whether an operator that was installed can do its work
//! * [`render`]: what a cluster would get, as text

pub mod agents;
pub mod check;
pub mod controller;
pub mod crd;
pub mod failpoint;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod probes;
pub mod quantity;
pub mod reconcile;
pub mod render;
pub mod throttle;
