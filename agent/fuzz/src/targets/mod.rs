//! The decoders.
//!
//! * [`mesh`]: frames of proven peers · [`handshake`]: those of strangers, on both sides · [`admin`]: the operator's
//! * [`cache`]: what applications send, and what their clients get · [`files`]: host lists and tokens on a volume

pub mod admin;
pub mod cache;
pub mod files;
pub mod handshake;
pub mod mesh;

use std::sync::Arc;

use crate::Target;
use crate::schema::Schema;

/// All of them.
///
/// # Errors
/// If one cannot be set up.
pub fn all() -> anyhow::Result<Vec<Box<dyn Target>>> {
    let schema = Arc::new(Schema::new()?);
    Ok(vec![
        Box::new(mesh::Frames(schema.clone())),
        Box::new(mesh::Packed(schema.clone())),
        Box::new(mesh::Messages(schema.clone())),
        Box::new(mesh::Hints::new(schema.clone())?),
        Box::new(handshake::Handshake::new(schema.clone(), handshake::Side::Answer)?),
        Box::new(handshake::Handshake::new(schema.clone(), handshake::Side::Call)?),
        Box::new(admin::Requests(schema.clone())),
        Box::new(admin::Replies(schema.clone())),
        Box::new(cache::Requests(schema.clone())),
        Box::new(cache::Answers(schema)),
        Box::new(cache::Deadlines),
        Box::new(files::HostList),
        Box::new(files::HostsVariable),
        Box::new(files::Token),
    ])
}
