//! One RauthyCluster in each test, several tests at a time. Run by `make e2e`.

mod chart;
mod configuration;
mod data;
mod embedded;
mod encryption;
mod examples;
mod issuer;
mod lifecycle;
mod network;
mod quorum;
mod recovery;
mod rolling;
mod rotation;
mod scaling;
