//! One RauthyCluster in each test, several tests at a time. Run by `make e2e`.

mod configuration;
mod data;
mod encryption;
mod lifecycle;
mod network;
mod quorum;
mod recovery;
mod rolling;
mod rotation;
mod scaling;
