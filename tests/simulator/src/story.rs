//! Short histories with chosen faults, whose traces are kept as files: what the protocol does, told second by second.

use crate::faults::Fault;
use crate::report::{Mix, Options};
use crate::world::World;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Story {
    /// The leader dies; another one takes over.
    Election,
    /// A member restarts, learns, and gets its seat back.
    Restart,
    /// Three members become five while clients write.
    Grow,
    /// Two of three members are gone for good; the third forgets.
    QuorumLoss,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Election, Self::Restart, Self::Grow, Self::QuorumLoss];

    /// Its name, also that of its file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Election => "election",
            Self::Restart => "restart",
            Self::Grow => "grow",
            Self::QuorumLoss => "quorum-loss",
        }
    }

    fn options(self) -> Options {
        let (seed, seconds, mix, script) = match self {
            Self::Election => (1, 9, Mix::Any, vec![(4000, Fault::CrashLeader(60_000))]),
            Self::Restart => (2, 8, Mix::Any, vec![(4000, Fault::CrashFollower(300))]),
            Self::Grow => (3, 9, Mix::Resizing, vec![(4000, Fault::Resize(5))]),
            Self::QuorumLoss => (
                4,
                20,
                Mix::Any,
                vec![(4000, Fault::CrashFollower(60_000)), (4500, Fault::CrashFollower(60_000))],
            ),
        };
        Options { script: Some(script), ..Options::new(seed, 3, seconds, mix) }
    }

    /// Its trace.
    ///
    /// # Errors
    /// If an invariant does not hold in it.
    pub fn tell(self) -> Result<String, String> {
        let mut world = World::new(&self.options());
        world.trace.all = Some(String::new());
        world.run()?;
        Ok(world.trace.all.take().unwrap_or_default())
    }
}
