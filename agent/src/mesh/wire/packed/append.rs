//! Appends, heartbeats among them, and their answers.
//!
//! ```text
//! append  flags, term, index and term before, commit, founding epoch, sent at, log time: change from sent at,
//!         maybe a grant: echo as change from sent at, rest; then how many entries, and these
//! answer  flags, term, index, sent at, clock: change from sent at, applied: change from index
//! ```

use std::sync::Arc;

use rauthy_core::message::{Append, AppendReply, Grant};

use super::super::WireError;
use super::super::parts::{count, log_time, span, time};
use super::Shared;
use super::entry::{self, Before};
use super::read::Reader;
use super::write::Writer;

const GRANTS: u8 = 1;
const ACCEPTED: u8 = 1;

/// Whether its entries follow each other, as they do in all that the core says: their indices are not written.
pub(super) fn follows(append: &Append) -> bool {
    append.entries.iter().zip(1..).all(|(entry, n)| entry.index == append.prev_index.wrapping_add(n))
}

pub(super) fn put(append: &Append, shared: &mut Shared, out: &mut Writer) {
    out.byte(if append.grant.is_some() { GRANTS } else { 0 });
    for number in [append.term, append.prev_index, append.prev_term, append.commit, append.founding_epoch] {
        out.number(number);
    }
    out.number(append.sent_at.0);
    out.change(append.sent_at.0, append.log_time.0);
    if let Some(grant) = append.grant {
        out.change(append.sent_at.0, grant.echo.0);
        out.number(grant.rest.0);
    }
    out.number(append.entries.len() as u64);
    let mut before = Before { term: append.term, time: append.log_time.0 };
    for entry in &append.entries {
        entry::put(entry, &mut before, shared, out);
    }
}

/// `left`: how many parts there may be yet.
pub(super) fn read(
    left: &mut usize,
    shared: &mut Shared,
    from: &mut Reader<'_>,
) -> Result<Append, WireError> {
    let flags = from.byte()?;
    if flags & !GRANTS != 0 {
        return Err(WireError::Unknown("an append"));
    }
    let mut number = || count(from.number()?);
    let (term, prev_index, prev_term) = (number()?, number()?, number()?);
    let (commit, founding_epoch) = (number()?, number()?);
    let sent_at = time(from.number()?)?;
    let log_time = log_time(from.change(sent_at.0)?)?;
    let grant = if flags & GRANTS == 0 {
        None
    } else {
        Some(Grant { echo: time(from.change(sent_at.0)?)?, rest: span(from.number()?)? })
    };
    let entries = from.number()?;
    let fewer = usize::try_from(entries).ok().and_then(|entries| left.checked_sub(entries));
    *left = fewer.ok_or(WireError::Bounds("the number of entries"))?;
    // Each takes a byte at least: nobody makes room for what is not there.
    if entries > from.left() as u64 {
        return Err(WireError::Short);
    }
    let mut before = Before { term, time: log_time.0 };
    let entries = (0..entries)
        .map(|n| entry::read(prev_index + 1 + n, &mut before, shared, from).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Append { term, prev_index, prev_term, commit, founding_epoch, sent_at, log_time, grant, entries })
}

pub(super) fn put_reply(reply: &AppendReply, out: &mut Writer) {
    out.byte(if reply.accepted { ACCEPTED } else { 0 });
    out.number(reply.term);
    out.number(reply.index);
    out.number(reply.sent_at.0);
    out.change(reply.sent_at.0, reply.clock.0);
    out.change(reply.index, reply.applied);
}

pub(super) fn read_reply(from: &mut Reader<'_>) -> Result<AppendReply, WireError> {
    let flags = from.byte()?;
    if flags & !ACCEPTED != 0 {
        return Err(WireError::Unknown("the answer to an append"));
    }
    let (term, index) = (count(from.number()?)?, count(from.number()?)?);
    let sent_at = time(from.number()?)?;
    Ok(AppendReply {
        term,
        accepted: flags & ACCEPTED != 0,
        index,
        sent_at,
        clock: time(from.change(sent_at.0)?)?,
        applied: count(from.change(index)?)?,
    })
}
