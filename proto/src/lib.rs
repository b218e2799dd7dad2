//! The protocol buffers of the cache, and the handshake that opens every stream between agents.
//!
//! * [`cache`]: what an application uses
//! * [`mesh`]: what agents say to each other
//! * [`admin`]: what the operator asks
//! * [`codec`]: how all of them are read: counted first
//! * [`handshake`]: the proofs of the mutual token handshake, pure

/// Generated. The modules are nested like the packages, because they name each other by relative paths.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod rauthy {
    pub mod cache {
        pub mod v1 {
            tonic::include_proto!("rauthy.cache.v1");
        }
    }
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("rauthy.admin.v1");
        }
    }
    pub mod mesh {
        pub mod v1 {
            tonic::include_proto!("rauthy.mesh.v1");
        }
    }
}

pub use rauthy::admin::v1 as admin;
pub use rauthy::cache::v1 as cache;
pub use rauthy::mesh::v1 as mesh;

/// All of them as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// [`cache`] alone, with its comments, as a `google.protobuf.FileDescriptorSet`: for the reflection service.
pub const CACHE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cache.bin"));

pub mod codec;
pub mod credentials;
pub mod handshake;
