//! The standard reflection service, in both versions that clients ask for: what the services of this socket are, with
//! the comments of `cache.proto`, so that tools such as `grpcurl` need no file.

use rauthy_proto::CACHE_DESCRIPTORS;
use tonic_reflection::server::{Builder, v1, v1alpha};

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(CACHE_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// `grpc.reflection.v1`; `None` only if what was built into this program is damaged.
pub(super) fn new() -> Option<v1::ServerReflectionServer<impl v1::ServerReflection>> {
    builder().build_v1().map_err(report).ok()
}

/// `grpc.reflection.v1alpha`, which older tools ask for.
pub(super) fn old() -> Option<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    builder().build_v1alpha().map_err(report).ok()
}

fn report(error: impl std::fmt::Display) {
    tracing::error!(%error, "there is no reflection service");
}
