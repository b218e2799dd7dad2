//! The threads that this program has of its own.
//!
//! One runs the consensus task and the streams between members, and nothing else. What a write needs goes back and forth
//! between these: on one thread none of it waits for another to wake, and calls of applications, reads and handshakes of
//! strangers, which run elsewhere, do not stand before it.
//!
//! The other one is where strangers knock. It has the processor when nobody else wants it: a little is left for it in any
//! case, so that a member that comes back is let in.

use std::sync::Arc;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How much less of the processor the thread for strangers has than others: a tenth (nice(2), sched(7)).
const NICE: i32 = 10;

/// A thread; it ends, with all that runs on it, when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    handle: Handle,
    _end: Arc<DropGuard>,
}

impl Engine {
    /// The thread for the consensus task and the streams between members.
    pub fn consensus() -> io::Result<Self> {
        Self::start("consensus", 0)
    }

    /// The thread for connections of strangers, until their TLS handshakes are over.
    pub fn strangers() -> io::Result<Self> {
        Self::start("strangers", NICE)
    }

    fn start(name: &str, nice: i32) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ended = end.clone();
        thread::Builder::new().name(name.into()).spawn(move || {
            // Of the calling thread alone, on Linux. Refused, it is as important as the others.
            if nice != 0
                && let Err(error) = rustix::process::nice(nice)
            {
                tracing::debug!(%error, "the priority of a thread stays as it is");
            }
            runtime.block_on(ended.cancelled());
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: Arc::new(end.drop_guard()) })
    }

    /// Runs something at once on the caller's thread; the tasks that it spawns and the sockets that it makes are the
    /// engine's.
    pub fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        let _engine = self.handle.enter();
        run()
    }

    /// For tasks of others; they end with the thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs a task on the thread, which lives as long as the task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let engine = self.clone();
        self.handle.spawn(async move {
            task.await;
            drop(engine);
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_lives_as_long_as_it_is_held_or_works() {
        let engine = Engine::consensus().unwrap();
        let name = engine.within(|| tokio::spawn(async { thread::current().name().map(str::to_owned) }));
        assert_eq!(name.await.unwrap().as_deref(), Some("consensus"));
        let stop = CancellationToken::new();
        let (holds, stopped) = (Arc::new(()), stop.clone());
        let held = Arc::downgrade(&holds);
        let main = engine.spawn(async move { stopped.cancelled().await });
        let other = engine.within(|| {
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(holds);
            })
        });
        drop(engine);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!other.is_finished(), "a task of it works yet");
        stop.cancel();
        main.await.unwrap();
        assert!(other.await.unwrap_err().is_cancelled());
        assert!(held.upgrade().is_none());
    }

    #[tokio::test]
    async fn strangers_give_way_and_nobody_else_does() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        for (engine, more) in [(Engine::consensus().unwrap(), 0), (Engine::strangers().unwrap(), NICE)] {
            let there = engine.handle().spawn(async move { nice() }).await.unwrap();
            assert_eq!(there, (before + more).min(19));
        }
        assert_eq!(nice(), before, "this thread is not one of them");
    }
}
