//! What the tests on a real Kubernetes share. They run by `make e2e` (scripts/e2e), which starts the cluster of
//! tests/cluster, loads the images and calls the test programs inside the cluster's network.
//!
//! * [`scene`]: a namespace with a `RauthyCluster` · [`wait`]: wait for a condition, with a deadline
//! * [`tools`]: kubectl and helm · [`app`]: the probe, the application in the pods · [`dns`]: what is cached
//! * [`clients`]: clients in every pod, whose history is judged
//! * [`certificates`]: an authority of the tests' own
//! * [`freeze`]: stop an agent as a hanging machine would · [`lives`]: who was restarted, and changes of the size
//! * [`operators`]: the operator's own pods · [`failpoints`]: operators that end themselves at chosen places
//! * [`issuer`]: what other operators bring along, and a stand-in for cert-manager

pub mod app;
pub mod certificates;
pub mod clients;
pub mod dns;
pub mod failpoints;
pub mod freeze;
pub mod issuer;
pub mod lives;
pub mod operators;
pub mod scene;
pub mod tools;
pub mod wait;

pub use app::App;
pub use certificates::Authority;
pub use clients::Clients;
pub use issuer::Issuer;
pub use lives::lives;
pub use scene::{Scene, play, play_without_operator};
pub use wait::{eventually, lasts};
