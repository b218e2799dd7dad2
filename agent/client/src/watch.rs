//! What changes in the cache, as a stream that goes on by itself when its connection breaks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::ChangeKind;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Code, Streaming};

use crate::calls::invalid;
use crate::error::{Again, Call, Error, failed};
use crate::retry::Pauses;
use crate::{Client, limits};

/// Responses that wait for the application; beyond, the agent waits.
const QUEUE: usize = 16;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Changes of this cache; empty: of all.
    pub cache: String,
    /// Changes of keys that begin so, and of whole caches; empty: all.
    pub key_prefix: Bytes,
    /// Changes after this, a position of another watch; empty: from now on.
    pub after: Bytes,
    /// [`Change::Put`] comes with the value.
    pub values: bool,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub change: Change,
    /// After it: a watch from here goes on. Empty: the cache has no data at present. Opaque.
    pub position: Bytes,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A value was stored or replaced.
    Put {
        /// In this cache.
        cache: String,
        /// Its key.
        key: Bytes,
        /// The value, if asked for.
        value: Option<Bytes>,
        /// Its version.
        version: u64,
    },
    /// A value is gone.
    Removed {
        /// From this cache.
        cache: String,
        /// Its key.
        key: Bytes,
        /// Why.
        why: Removal,
    },
    /// All values of a cache are gone.
    Cleared {
        /// Which.
        cache: String,
    },
    /// Changes up to this position are not known: read anew whatever you keep.
    Gap,
    /// All data is gone, the cache begins anew: drop whatever you keep.
    Gone,
}

/// Why a value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// Somebody deleted it.
    Deleted,
    /// Somebody took it.
    Taken,
    /// Its time was over.
    Expired,
    /// It made room for others.
    Evicted,
}

/// A stream of [`Event`]s, in the order of the log. It ends with the first error, which no repetition would heal.
#[derive(Debug)]
pub struct Watch {
    responses: mpsc::Receiver<Result<proto::WatchResponse, Error>>,
    changes: VecDeque<proto::Change>,
    /// After what was given out.
    position: Bytes,
    /// After all of `changes`.
    reached: Bytes,
    over: bool,
}

impl Client {
    /// Watches what changes from now on, or after a position. It returns when the watch has begun: what is written from
    /// then on is seen. When the connection breaks, the watch goes on from its position by itself; what it may have
    /// missed it tells as [`Change::Gap`].
    ///
    /// ```no_run
    /// # async fn example(client: rauthy_client::Client) -> Result<(), rauthy_client::Error> {
    /// use rauthy_client::{Change, WatchOptions};
    ///
    /// let mut watch = client.watch(WatchOptions { cache: "sessions".into(), ..Default::default() }).await?;
    /// while let Some(event) = watch.next().await.transpose()? {
    ///     match event.change {
    ///         Change::Removed { key, .. } => println!("logged out: {key:?}"),
    ///         Change::Gap | Change::Gone => println!("forget what you know"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is wrong, [`Error::Limit`] if the agent has too many watches; the last error if it
    /// did not begin within the deadline of the client.
    pub async fn watch(&self, options: WatchOptions) -> Result<Watch, Error> {
        invalid((!options.cache.is_empty()).then(|| limits::check_cache(&options.cache)).flatten())?;
        let end = Instant::now() + self.deadline;
        let mut pauses = Pauses::default();
        let (stream, first) = loop {
            let begun = tokio::time::timeout_at(end, self.begin(&options)).await;
            let late = || Err((Error::NoQuorum, Again::Never));
            match begun.unwrap_or_else(|_| late()) {
                Ok(begun) => break begun,
                Err((_, Again::NotDone)) if self.retries && pauses.pause(end).await => {}
                Err((error, _)) => return Err(error),
            }
        };
        let (tx, responses) = mpsc::channel(QUEUE);
        let start = options.after.clone();
        let position = if first.position.is_empty() { start } else { first.position.clone() };
        let watch = Watch {
            responses,
            changes: first.changes.into(),
            position: position.clone(),
            reached: first.position,
            over: false,
        };
        let feed = Feed { client: self.clone(), options: WatchOptions { after: position, ..options }, tx };
        tokio::spawn(feed.run(stream));
        Ok(watch)
    }

    /// Opens a watch; what it said first.
    async fn begin(
        &self,
        options: &WatchOptions,
    ) -> Result<(Streaming<proto::WatchResponse>, proto::WatchResponse), (Error, Again)> {
        let request = proto::WatchRequest {
            cache: options.cache.clone(),
            key_prefix: options.key_prefix.clone(),
            after: options.after.clone(),
            values: options.values,
        };
        let judged = |status: &tonic::Status| {
            let failed = failed(self.target(), Call::Read, status);
            (failed.error, failed.again)
        };
        let mut stream = self.connect().watch(request).await.map_err(|s| judged(&s))?.into_inner();
        match stream.message().await {
            Ok(Some(first)) => Ok((stream, first)),
            Ok(None) => Err(judged(&tonic::Status::new(Code::Unavailable, "the watch ended at once"))),
            Err(status) => Err(judged(&status)),
        }
    }
}

/// Reads responses until the watch is dropped.
struct Feed {
    client: Client,
    /// `after` is kept where the watch is.
    options: WatchOptions,
    tx: mpsc::Sender<Result<proto::WatchResponse, Error>>,
}

impl Feed {
    async fn run(mut self, mut stream: Streaming<proto::WatchResponse>) {
        let dropped = self.tx.clone();
        tokio::select! {
            () = dropped.closed() => {}
            () = async {
                while let Some(()) = self.read(&mut stream).await {
                    let Some(next) = self.again().await else { return };
                    stream = next;
                }
            } => {}
        }
    }

    /// Until the stream breaks; `None`: nobody listens any more.
    async fn read(&mut self, stream: &mut Streaming<proto::WatchResponse>) -> Option<()> {
        while let Ok(Some(response)) = stream.message().await {
            self.tell(response).await?;
        }
        Some(())
    }

    async fn tell(&mut self, response: proto::WatchResponse) -> Option<()> {
        self.options.after = response.position.clone();
        self.tx.send(Ok(response)).await.ok()
    }

    /// Opens the watch again, until that succeeds or can never succeed.
    async fn again(&mut self) -> Option<Streaming<proto::WatchResponse>> {
        let mut pauses = Pauses::default();
        // Without a position it can only begin from now on, and does not know what it missed.
        let unknown = self.options.after.is_empty();
        loop {
            pauses.wait().await;
            match self.client.begin(&self.options).await {
                Ok((stream, mut first)) => {
                    if unknown {
                        let gap = proto::Change {
                            kind: ChangeKind::Gap.into(),
                            position: first.position.clone(),
                            ..proto::Change::default()
                        };
                        first.changes.insert(0, gap);
                    }
                    self.tell(first).await?;
                    return Some(stream);
                }
                Err((_, Again::NotDone)) => {}
                Err((error, _)) => {
                    let _ = self.tx.send(Err(error)).await;
                    return None;
                }
            }
        }
    }
}

impl Watch {
    /// After all that was given out: a watch from here misses nothing. Empty: the cache has no data at present.
    #[must_use]
    pub fn position(&self) -> Bytes {
        self.position.clone()
    }

    /// The next change; waits for it. `None` after an error.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn change(&mut self, change: proto::Change) -> Event {
        let kind = change.kind();
        let proto::Change { cache, key, value, version, position, .. } = change;
        let removed = |cache, key, why| Change::Removed { cache, key, why };
        let change = match kind {
            ChangeKind::Put => Change::Put { cache, key, value, version },
            ChangeKind::Deleted => removed(cache, key, Removal::Deleted),
            ChangeKind::Taken => removed(cache, key, Removal::Taken),
            ChangeKind::Expired => removed(cache, key, Removal::Expired),
            ChangeKind::Evicted => removed(cache, key, Removal::Evicted),
            ChangeKind::Cleared => Change::Cleared { cache },
            ChangeKind::Gap => Change::Gap,
            ChangeKind::Gone => Change::Gone,
            // Of a later version: something happened that this one has no name for.
            ChangeKind::Unspecified => Change::Gap,
        };
        // Of several changes of one log entry, only the last completes it.
        if self.changes.front().is_none_or(|next| next.position != position) {
            self.position = position;
        }
        Event { change, position: self.position.clone() }
    }
}

impl Stream for Watch {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Some(Ok(self.change(change))));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let reached = std::mem::take(&mut self.reached);
            if !reached.is_empty() {
                self.position = reached;
            }
            match ready!(self.responses.poll_recv(context)) {
                Some(Ok(response)) => {
                    self.changes = response.changes.into();
                    self.reached = response.position;
                }
                Some(Err(error)) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.over = true,
            }
        }
    }
}
