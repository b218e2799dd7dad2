//! The handshake that opens every stream; `rauthy_proto::handshake` explains what is proven.
//!
//! What one side refuses, it tells the other: the callee in its verdict, the caller by sending a verdict where its
//! proof should stand. Nothing is said that a stranger could not find out by trying.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use rauthy_core::Slot;
use rauthy_proto::handshake::{self as proven, NONCE_LEN, OPERATOR, Side, Transcript};
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::refused::Reason;
use rauthy_proto::mesh::{Challenge, Frame, Hello, Identity, Proof, Purpose, Refused, Verdict};
use tonic::Status;

use super::me::Me;
use super::queue::Sender;

/// A handshake takes no longer than this.
pub const TIMEOUT: Duration = Duration::from_secs(5);
const BOOT_LEN: usize = 16;

/// Why no stream was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// This side refused the other.
    #[error("{}: {message}", reason.as_str_name())]
    Refused {
        /// In one word.
        reason: Reason,
        /// For people.
        message: String,
    },
    /// The other side refused this one.
    #[error("refused by the peer: {}: {message}", reason.as_str_name())]
    RefusedByPeer {
        /// In one word.
        reason: Reason,
        /// For people.
        message: String,
    },
    /// The stream ended in the middle.
    #[error("the stream ended during the handshake ({0})")]
    Ended(String),
}

impl HandshakeError {
    fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Self::Refused { reason, message: message.into() }
    }

    /// It in one word, for metrics and status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { reason, .. } | Self::RefusedByPeer { reason, .. } => reason.as_str_name(),
            Self::Ended(_) => "ENDED",
        }
    }

    /// What to tell the other side, if it does not know yet.
    fn verdict(&self) -> Option<Frame> {
        let Self::Refused { reason, message } = self else { return None };
        Some(verdict(Some(Refused { reason: (*reason).into(), message: message.clone() })))
    }
}

/// Who is at the other end, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its slot, or "operator".
    pub slot: Slot,
    /// The life of its process.
    pub boot: Bytes,
    /// What the stream is for.
    pub purpose: Purpose,
    /// The version of the format that is spoken on it.
    pub version: u32,
}

fn frame(kind: Kind) -> Frame {
    Frame { frame: Some(kind) }
}

/// A verdict as a frame.
#[must_use]
pub fn verdict(refused: Option<Refused>) -> Frame {
    frame(Kind::Verdict(Verdict { refused }))
}

/// 32 bytes of the operating system's randomness.
fn nonce() -> Result<Bytes, HandshakeError> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|e| HandshakeError::Ended(format!("no randomness: {e}")))?;
    Ok(Bytes::copy_from_slice(&nonce))
}

async fn send(tx: &Sender, one: Frame) -> Result<(), HandshakeError> {
    tx.send(one).await.map_err(|_| HandshakeError::Ended("nobody reads".into()))
}

/// The next frame; a refusal of the other side becomes an error.
async fn receive<S>(rx: &mut S) -> Result<Kind, HandshakeError>
where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    let one = match rx.next().await {
        Some(Ok(one)) => one.frame,
        Some(Err(status)) if status.code() == tonic::Code::ResourceExhausted => {
            return Err(HandshakeError::refused(Reason::Malformed, status.message()));
        }
        Some(Err(status)) => return Err(HandshakeError::Ended(status.message().to_owned())),
        None => return Err(HandshakeError::Ended("closed by the peer".into())),
    };
    match one {
        Some(Kind::Verdict(Verdict { refused: Some(refused) })) => Err(HandshakeError::RefusedByPeer {
            reason: refused.reason(),
            // It comes from somebody who has proven nothing yet.
            message: refused.message.chars().filter(|c| !c.is_control()).take(200).collect(),
        }),
        Some(kind) => Ok(kind),
        None => Err(HandshakeError::refused(Reason::Malformed, "an empty frame")),
    }
}

/// Runs one side within [`TIMEOUT`] and tells the other side what it refuses.
async fn run<T>(
    tx: &Sender,
    side: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    let late = "the handshake took longer than 5 s";
    let result = tokio::time::timeout(TIMEOUT, side)
        .await
        .unwrap_or_else(|_| Err(HandshakeError::refused(Reason::Timeout, late)));
    if let Err(error) = &result
        && let Some(frame) = error.verdict()
    {
        let _ = tx.put(frame, 0);
    }
    result
}

/// The caller's side. `exporter` is the keying material of the TLS session, empty without TLS; `accept` may refuse
/// the peer once it is proven.
///
/// # Errors
/// If either side refuses the other, or the stream ends.
pub async fn call<S>(
    me: &Me,
    purpose: Purpose,
    to: &Slot,
    exporter: &[u8],
    tx: &Sender,
    rx: &mut S,
    accept: impl Fn(&Peer) -> Result<(), HandshakeError>,
) -> Result<Peer, HandshakeError>
where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    run(tx, async {
        let hello = Hello {
            version_min: *me.versions().start(),
            version_max: *me.versions().end(),
            cluster: me.cluster.clone(),
            purpose: purpose.into(),
            from: Some(me.identity()),
            to: to.to_string(),
            nonce: nonce()?,
        };
        send(tx, frame(Kind::Hello(hello.clone()))).await?;
        let Kind::Challenge(challenge) = receive(rx).await? else { return Err(out_of_order()) };
        let callee = identity(challenge.from)?;
        let version = challenge.version;
        if !me.versions().contains(&version) {
            return Err(wrong_version(me, &(version..=version)));
        }
        if callee.slot != to.as_str() {
            let message = format!("dialled {to}, but {} answered", printable(&callee.slot));
            return Err(HandshakeError::refused(Reason::WrongSlot, message));
        }
        if challenge.nonce.len() != NONCE_LEN {
            return Err(HandshakeError::refused(Reason::Malformed, "a nonce has 32 bytes"));
        }
        let transcript =
            Transcript { hello: &hello, version, callee: &callee, nonce: &challenge.nonce, exporter };
        // During a rotation they may have one of several in common.
        let tokens = me.tokens();
        let shared = transcript.shared(tokens.all(), Side::Callee, &challenge.proofs);
        let token = shared.ok_or_else(wrong_token)?;
        let peer = Peer { slot: to.clone(), boot: callee.boot.clone(), purpose, version };
        accept(&peer)?;
        let proof = Bytes::copy_from_slice(&transcript.proof(token, Side::Caller));
        send(tx, frame(Kind::Proof(Proof { proof }))).await?;
        let Kind::Verdict(_) = receive(rx).await? else { return Err(out_of_order()) };
        Ok(peer)
    })
    .await
}

/// The callee's side up to, and with, its verdict. Whom the caller claims to be is written to `claimed` as soon as
/// it is known, for the report of a refusal, if that is a slot of the host list or the operator: a stranger does not
/// choose what is shown; `accept` may refuse the peer once it is proven.
///
/// # Errors
/// If either side refuses the other, or the stream ends.
pub async fn answer<S>(
    me: &Me,
    exporter: &[u8],
    tx: &Sender,
    rx: &mut S,
    claimed: &mut String,
    accept: impl Fn(&Peer) -> Result<(), HandshakeError>,
) -> Result<Peer, HandshakeError>
where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    run(tx, async {
        let Kind::Hello(hello) = receive(rx).await? else { return Err(out_of_order()) };
        let caller = identity(hello.from.clone())?;
        if caller.slot == OPERATOR || me.knows(&caller.slot) {
            claimed.clone_from(&caller.slot);
        }
        let (purpose, version) = judge(me, &hello, &caller)?;
        let (callee, nonce) = (me.identity(), nonce()?);
        let transcript = Transcript { hello: &hello, version, callee: &callee, nonce: &nonce, exporter };
        let tokens = me.tokens();
        let prove = |token| Bytes::copy_from_slice(&transcript.proof(token, Side::Callee));
        let proofs = tokens.all().map(prove).collect();
        let challenge = Challenge { version, from: Some(callee.clone()), nonce: nonce.clone(), proofs };
        send(tx, frame(Kind::Challenge(challenge))).await?;
        let Kind::Proof(proof) = receive(rx).await? else { return Err(out_of_order()) };
        if !transcript.verify(tokens.all(), Side::Caller, &proof.proof) {
            return Err(wrong_token());
        }
        let peer = Peer { slot: Slot::new(&caller.slot), boot: caller.boot.clone(), purpose, version };
        accept(&peer)?;
        send(tx, verdict(None)).await?;
        Ok(peer)
    })
    .await
}

/// What the callee thinks of the first frame.
fn judge(me: &Me, hello: &Hello, caller: &Identity) -> Result<(Purpose, u32), HandshakeError> {
    let refuse = |reason, message: String| Err(HandshakeError::refused(reason, message));
    let theirs = hello.version_min..=hello.version_max;
    let version = proven::version(me.versions(), &theirs).ok_or_else(|| wrong_version(me, &theirs))?;
    if hello.nonce.len() != NONCE_LEN {
        return refuse(Reason::Malformed, "a nonce has 32 bytes".into());
    }
    if hello.cluster != me.cluster {
        let message = format!("this is cluster {}: set CACHE_CLUSTER_NAME alike on all members", me.cluster);
        return refuse(Reason::WrongCluster, message);
    }
    if hello.to != me.slot.as_str() {
        return refuse(Reason::WrongSlot, format!("this is {}, not the slot that was dialled", me.slot));
    }
    let purpose = hello.purpose();
    match purpose {
        Purpose::Unspecified => refuse(Reason::Malformed, "a stream has a purpose".into()),
        Purpose::Admin if caller.slot == OPERATOR => Ok((purpose, version)),
        Purpose::Admin => refuse(Reason::UnknownSlot, "only the operator opens such a stream".into()),
        _ if caller.slot == me.slot.as_str() && caller.boot != me.boot => {
            refuse(Reason::DuplicateSlot, format!("{} is this very process's slot", me.slot))
        }
        _ if caller.slot == me.slot.as_str() => refuse(Reason::WrongSlot, "it dialled itself".into()),
        _ if me.knows(&caller.slot) => Ok((purpose, version)),
        _ => refuse(Reason::UnknownSlot, "it is not in the host list of this member".into()),
    }
}

fn identity(from: Option<Identity>) -> Result<Identity, HandshakeError> {
    from.filter(|id| id.boot.len() == BOOT_LEN && (1..=262).contains(&id.slot.len()))
        .ok_or_else(|| HandshakeError::refused(Reason::Malformed, "an identity is a slot and 16 bytes"))
}

fn printable(slot: &str) -> String {
    slot.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(128).collect()
}

fn wrong_version(me: &Me, theirs: &RangeInclusive<u32>) -> HandshakeError {
    let words = |of: &RangeInclusive<u32>| match (of.start(), of.end()) {
        (one, same) if one == same => one.to_string(),
        (from, to) => format!("{from} to {to}"),
    };
    let (mine, theirs) = (words(me.versions()), words(theirs));
    let message = format!(
        "this member speaks version {mine} of the format, the other one {theirs}: update the older one, version by version"
    );
    HandshakeError::refused(Reason::WrongVersion, message)
}

fn wrong_token() -> HandshakeError {
    let message = "the tokens differ: give all members the same CACHE_AUTH_TOKEN";
    HandshakeError::refused(Reason::WrongToken, message)
}

fn out_of_order() -> HandshakeError {
    HandshakeError::refused(Reason::Malformed, "a frame out of order")
}
