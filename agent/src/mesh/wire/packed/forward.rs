//! Writes on their way to the leader, and what became of them.
//!
//! ```text
//! forward    id, level and flags, operation and flags, if STAMPED: maybe a generation, session, seq, floor,
//!            unless SAME_CACHE: a cache, then
//!            put: lengths of key and value, these, maybe ttl, maybe a version
//!            delete, take: key · increment: key, by, maybe ttl
//! answer     id, what it did, version, and for two of them what they gave
//! ```

use rauthy_core::message::{Forward, ForwardReply};
use rauthy_core::{AckLevel, Done, Effect, Generation, Request, Span, Stamp};

use super::super::WireError;
use super::super::parts::{count, key, key_and_value, ttl, value};
use super::Shared;
use super::entry::{ABSENT, VERSION, condition, put_condition};
use super::read::Reader;
use super::write::Writer;

const DIRECT: u8 = 1;
const LEADER: u8 = 2;
const ONCE: u8 = 3;
const QUORUM: u8 = 4;
const ALL: u8 = 5;
const LEVEL: u8 = 0x07;
const STAMPED: u8 = 0x08;
const SAME_CACHE: u8 = 0x10;
/// The stamp is of the generation that the envelope names.
const SAME_GENERATION: u8 = 0x20;

/// In the flags of an operation, beside those of a condition.
const LIVES: u8 = 1;
const PUT: u8 = 0x10;
const DELETE: u8 = 0x20;
const TAKE: u8 = 0x30;
const INCREMENT: u8 = 0x40;
const OPERATION: u8 = 0xf0;

/// What an answer says.
const ACCEPTED: u8 = 1;
const NOTHING: u8 = 2;
const NEW: u8 = 3;
const REPLACED: u8 = 4;
const WAS_NOT_THERE: u8 = 5;
const DELETED: u8 = 6;
const TOOK_NOTHING: u8 = 7;
const TAKEN: u8 = 8;
const NUMBER: u8 = 9;

/// Whether it is written here; else as a protocol buffer.
pub(super) fn is_common(request: &Request) -> bool {
    !matches!(request, Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession)
}

pub(super) fn put(forward: &Forward, shared: &mut Shared, out: &mut Writer) {
    let lives = |ttl: &Option<Span>| if ttl.is_some() { LIVES } else { 0 };
    let (operation, cache, key, ttl) = match &forward.request {
        Request::Put { cache, key, ttl, condition, .. } => {
            (PUT | lives(ttl) | put_condition(*condition), cache, key, ttl)
        }
        Request::Increment { cache, key, ttl, .. } => (INCREMENT | lives(ttl), cache, key, ttl),
        Request::Delete { cache, key } => (DELETE, cache, key, &None),
        Request::Take { cache, key } => (TAKE, cache, key, &None),
        // See `is_common`.
        Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession => return,
    };
    let mut head = match forward.level {
        AckLevel::Direct => DIRECT,
        AckLevel::Leader => LEADER,
        AckLevel::Once => ONCE,
        AckLevel::Quorum => QUORUM,
        AckLevel::All => ALL,
    };
    let generation = forward.stamp.map(|stamp| stamp.generation);
    if generation.is_some() {
        head |= STAMPED;
        if generation == envelope_generation(shared) {
            head |= SAME_GENERATION;
        }
    }
    let same_cache = shared.names(cache);
    if same_cache {
        head |= SAME_CACHE;
    }
    out.number(forward.id);
    out.byte(head);
    out.byte(operation);
    if let Some(stamp) = forward.stamp {
        if head & SAME_GENERATION == 0 {
            out.name(stamp.generation.0);
        }
        out.number(stamp.session);
        out.number(stamp.seq);
        out.number(stamp.floor);
    }
    if !same_cache {
        out.bytes(cache.as_bytes());
    }
    match &forward.request {
        Request::Put { value, .. } => {
            out.number(key.len() as u64);
            out.number(value.len() as u64);
            out.raw(key);
            out.raw(value);
        }
        Request::Increment { by, .. } => {
            out.bytes(key);
            out.signed(*by);
        }
        _ => out.bytes(key),
    }
    if let Some(ttl) = ttl {
        out.number(ttl.0);
    }
    if let Request::Put { condition: rauthy_core::Condition::Version(version), .. } = &forward.request {
        out.number(*version);
    }
}

fn envelope_generation(shared: &Shared) -> Option<Generation> {
    shared.envelope.as_ref()?.generation
}

pub(super) fn read(shared: &mut Shared, from: &mut Reader<'_>) -> Result<Forward, WireError> {
    let (id, head, operation) = (from.number()?, from.byte()?, from.byte()?);
    let level = match head & LEVEL {
        DIRECT => AckLevel::Direct,
        LEADER => AckLevel::Leader,
        ONCE => AckLevel::Once,
        QUORUM => AckLevel::Quorum,
        ALL => AckLevel::All,
        _ => return Err(WireError::Unknown("an ack level")),
    };
    let stamp = match head & (STAMPED | SAME_GENERATION) {
        0 => None,
        STAMPED => Some(Generation(from.name()?)),
        SAME_GENERATION => return Err(WireError::Missing("a stamp")),
        _ => Some(envelope_generation(shared).ok_or(WireError::Missing("a generation"))?),
    };
    let stamp = stamp.map(|generation| {
        let mut number = || count(from.number()?);
        Ok(Stamp { generation, session: number()?, seq: number()?, floor: number()? })
    });
    let stamp = stamp.transpose()?;
    let cache = shared.cache(head & SAME_CACHE != 0, from)?;
    let allowed = match operation & OPERATION {
        PUT => LIVES | ABSENT | VERSION,
        INCREMENT => LIVES,
        _ => 0,
    };
    if head & !(LEVEL | STAMPED | SAME_CACHE | SAME_GENERATION) != 0 || operation & !OPERATION & !allowed != 0
    {
        return Err(WireError::Unknown("a write"));
    }
    let lives = |from: &mut Reader<'_>| match operation & LIVES {
        0 => Ok(None),
        _ => ttl(Some(from.number()?)),
    };
    let request = match operation & OPERATION {
        PUT => {
            let (key, value) = (from.number()?, from.number()?);
            let (key, value) = key_and_value(from.raw(key)?, from.raw(value)?)?;
            let ttl = lives(from)?;
            Request::Put { cache, key, value, ttl, condition: condition(operation, from)? }
        }
        DELETE => Request::Delete { cache, key: key(from.bytes()?)? },
        TAKE => Request::Take { cache, key: key(from.bytes()?)? },
        INCREMENT => {
            let key = key(from.bytes()?)?;
            Request::Increment { cache, key, by: from.signed()?, ttl: lives(from)? }
        }
        _ => return Err(WireError::Unknown("a write")),
    };
    Ok(Forward { id, stamp, request, level })
}

fn word(effect: &Effect) -> Option<u8> {
    Some(match effect {
        Effect::Accepted => ACCEPTED,
        Effect::Nothing => NOTHING,
        Effect::Put { existed: false } => NEW,
        Effect::Put { existed: true } => REPLACED,
        Effect::Deleted { existed: false } => WAS_NOT_THERE,
        Effect::Deleted { existed: true } => DELETED,
        Effect::Taken(None) => TOOK_NOTHING,
        Effect::Taken(Some(_)) => TAKEN,
        Effect::Number(_) => NUMBER,
        _ => return None,
    })
}

/// Whether it is written here; else as a protocol buffer.
pub(super) fn is_common_reply(reply: &ForwardReply) -> bool {
    reply.result.as_ref().is_ok_and(|done| word(&done.effect).is_some())
}

pub(super) fn put_reply(reply: &ForwardReply, out: &mut Writer) {
    // See `is_common_reply`.
    let Ok(done) = &reply.result else { return };
    let Some(word) = word(&done.effect) else { return };
    out.number(reply.id);
    out.byte(word);
    out.number(done.version);
    match &done.effect {
        Effect::Taken(Some(value)) => out.bytes(value),
        Effect::Number(number) => out.signed(*number),
        _ => {}
    }
}

pub(super) fn read_reply(from: &mut Reader<'_>) -> Result<ForwardReply, WireError> {
    let (id, word, version) = (from.number()?, from.byte()?, count(from.number()?)?);
    let effect = match word {
        ACCEPTED => Effect::Accepted,
        NOTHING => Effect::Nothing,
        NEW => Effect::Put { existed: false },
        REPLACED => Effect::Put { existed: true },
        WAS_NOT_THERE => Effect::Deleted { existed: false },
        DELETED => Effect::Deleted { existed: true },
        TOOK_NOTHING => Effect::Taken(None),
        TAKEN => Effect::Taken(Some(value(from.bytes()?)?)),
        NUMBER => Effect::Number(from.signed()?),
        _ => return Err(WireError::Unknown("what a write did")),
    };
    Ok(ForwardReply { id, result: Ok(Done { version, effect }) })
}
