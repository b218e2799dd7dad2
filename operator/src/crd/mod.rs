//! RauthyCluster: what a user writes ([`spec`]) and what the operator answers ([`status`]).

pub mod generate;
pub mod served;
pub mod spec;
pub mod status;
pub mod switches;

pub use spec::{RauthyCluster, RauthyClusterSpec, TlsMode};
pub use status::{MemberStatus, Phase, RauthyClusterStatus};
