//! `rauthy.cache.v1.Cache/Watch`: what a watcher of the runtime is told, as messages, when the client has room for them.

use futures::stream::{self, BoxStream, StreamExt};
use rauthy_core::replica::Position;
use rauthy_core::store::{Change, Changed, Removal};
use rauthy_proto::cache as proto;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::Status;

use super::calls::Calls;
use super::operations::{Operation, Outcome};
use super::reason::Reason;
use super::requests::token;
use super::streams::{Counted, Streams, ended};
use crate::runtime::{Filter, Watched, Watcher};

/// A stream of responses.
pub(super) type Responses = BoxStream<'static, Result<proto::WatchResponse, Status>>;

struct Watch {
    watcher: Watcher,
    values: bool,
    streams: Streams,
    end: Option<Instant>,
    over: bool,
    counted: Counted,
    _place: OwnedSemaphorePermit,
}

/// Watches until `end`, or until the agent is about to stop.
pub(super) fn watch(
    calls: Calls,
    (filter, after): (Filter, Option<Position>),
    values: bool,
    streams: Streams,
    end: Option<Instant>,
) -> Result<Responses, Reason> {
    let place = streams.watch()?;
    let cache = filter.cache.clone().unwrap_or_default();
    let watcher = calls.handle.watch(filter, after);
    let counted = Counted::new(&calls.operations, Operation::Watch, cache);
    let watch = Watch { watcher, values, streams, end, over: false, counted, _place: place };
    Ok(stream::unfold(watch, Watch::next).boxed())
}

impl Watch {
    async fn next(mut self) -> Option<(Result<proto::WatchResponse, Status>, Self)> {
        if self.over {
            return None;
        }
        let stopping = self.streams.stopping.clone();
        let watched = tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            status = ended(self.end) => {
                self.over = true;
                return Some((Err(status), self));
            }
            watched = self.watcher.next() => watched,
        };
        let response = match watched {
            Some(watched) => Ok(self.response(watched)),
            // Told to stop, or there is nothing left to watch.
            None => {
                (self.over, self.counted.outcome) = (true, Outcome::Stopping);
                Err(Reason::Stopping.into())
            }
        };
        Some((response, self))
    }

    fn response(&self, watched: Watched) -> proto::WatchResponse {
        let lost = |kind: proto::ChangeKind, position: Option<Position>| proto::WatchResponse {
            changes: vec![proto::Change {
                kind: kind.into(),
                position: token(position),
                ..proto::Change::default()
            }],
            position: token(position),
        };
        match watched {
            Watched::At(position) => {
                proto::WatchResponse { changes: vec![], position: token(Some(position)) }
            }
            Watched::Changes(changes, position) => proto::WatchResponse {
                changes: changes.into_iter().map(|change| self.change(change, position)).collect(),
                position: token(Some(position)),
            },
            Watched::Missed(position) => lost(proto::ChangeKind::Gap, Some(position)),
            Watched::Gone => lost(proto::ChangeKind::Gone, None),
        }
    }

    fn change(&self, Change { index, cache, change }: Change, of: Position) -> proto::Change {
        let (kind, key, value) = match change {
            Changed::Put { key, value } => (proto::ChangeKind::Put, key, self.values.then_some(value)),
            Changed::Removed { key, why } => {
                let kind = match why {
                    Removal::Deleted => proto::ChangeKind::Deleted,
                    Removal::Taken => proto::ChangeKind::Taken,
                    Removal::Expired => proto::ChangeKind::Expired,
                    Removal::Evicted => proto::ChangeKind::Evicted,
                };
                (kind, key, None)
            }
            Changed::Cleared => (proto::ChangeKind::Cleared, Default::default(), None),
        };
        proto::Change {
            kind: kind.into(),
            cache: cache.to_string(),
            key,
            value,
            version: index,
            position: token(Some(Position { index, ..of })),
        }
    }
}
