//! What the operator asks, and what it is answered.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rauthy_agent::mesh::admin::change;
use rauthy_core::SizeChange;
use rauthy_proto::admin::admin_request::Request;
use rauthy_proto::admin::{AdminReply, AdminRequest, SetSizeRequest};
use rauthy_proto::codec::Bounded;

use crate::random::Random;
use crate::schema::Schema;
use crate::{Check, Target, holds};

/// Requests, as an agent reads them.
pub struct Requests(pub Arc<Schema>);

fn said(change: &SizeChange) -> SetSizeRequest {
    let names = |slots: &[rauthy_core::Slot]| slots.iter().map(ToString::to_string).collect();
    SetSizeRequest {
        epoch: change.epoch,
        now: names(&change.now),
        next: change.next.as_deref().map(names).unwrap_or_default(),
    }
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "admin-request"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        self.0.message(".rauthy.admin.v1.AdminRequest", random)
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let Request::SetSize(wanted) = AdminRequest::bounded(Bytes::copy_from_slice(bytes)).ok()?.request?
        else {
            return Some(Box::new(|| Ok(())));
        };
        let read = change(wanted)?;
        Some(Box::new(move || {
            let again = change(said(&read));
            holds(again.as_ref() == Some(&read), || format!("{read:?} is read as {again:?}"))
        }))
    }
}

/// Replies, as the operator reads them.
pub struct Replies(pub Arc<Schema>);

impl Target for Replies {
    fn name(&self) -> &'static str {
        "admin-reply"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        self.0.message(".rauthy.admin.v1.AdminReply", random)
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let reply = AdminReply::bounded(Bytes::copy_from_slice(bytes)).ok()?;
        Some(Box::new(move || {
            let again = AdminReply::decode(reply.encode_to_vec().as_slice());
            holds(again.as_ref() == Ok(&reply), || format!("{reply:?} is read as {again:?}"))
        }))
    }
}
