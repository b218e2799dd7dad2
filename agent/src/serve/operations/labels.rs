//! What the calls of the cache service are counted by. Every label has a handful of values.

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A read.
    Get,
    /// A value was stored.
    Put,
    /// A key was removed.
    Delete,
    /// A value was got and removed.
    Take,
    /// A number was changed.
    Increment,
    /// A cache was emptied.
    Clear,
    /// A cache's limits were declared.
    Declare,
    /// A writer was registered.
    Register,
    /// A watch was open.
    Watch,
    /// A session stream was open; its calls count by themselves.
    Session,
}

/// At which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// A read from this node's replica, under its lease.
    Local,
    /// The same, but not before what the session has seen is there.
    Session,
    /// A read of what stands at this moment.
    Linearizable,
    /// A write answered at once.
    Direct,
    /// A write answered when the leader has it.
    Leader,
    /// A write answered when one more member has it.
    Once,
    /// A write answered when it is committed.
    Quorum,
    /// A write answered when nobody serves what was before.
    All,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Done; a read found a value.
    Ok,
    /// A read found, truthfully, nothing.
    Miss,
    /// See `cache.proto`.
    NoQuorum,
    /// See `cache.proto`.
    Syncing,
    /// See `cache.proto`.
    Limit,
    /// See `cache.proto`.
    Field,
    /// See `cache.proto`.
    Level,
    /// See `cache.proto`.
    Version,
    /// See `cache.proto`.
    NotANumber,
    /// See `cache.proto`.
    Gap,
    /// See `cache.proto`.
    UnknownOutcome,
    /// See `cache.proto`.
    Stopping,
}

/// Gives a label its values, as they are written everywhere else.
macro_rules! label {
    ($type:ty { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// All of them, each at the place that its number says.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

label!(Operation {
    Get => "get",
    Put => "put",
    Delete => "delete",
    Take => "take",
    Increment => "increment",
    Clear => "clear",
    Declare => "declare",
    Register => "register",
    Watch => "watch",
    Session => "session",
});
label!(Level {
    Local => "local",
    Session => "session",
    Linearizable => "linearizable",
    Direct => "direct",
    Leader => "leader",
    Once => "once",
    Quorum => "quorum",
    All => "all",
});
label!(Outcome {
    Ok => "ok",
    Miss => "miss",
    NoQuorum => "no_quorum",
    Syncing => "syncing",
    Limit => "limit",
    Field => "field",
    Level => "level",
    Version => "version",
    NotANumber => "not_a_number",
    Gap => "gap",
    UnknownOutcome => "unknown_outcome",
    Stopping => "stopping",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_place() {
        for (place, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, place, "{operation:?}");
        }
        for (place, level) in Level::ALL.iter().enumerate() {
            assert_eq!(*level as usize, place, "{level:?}");
        }
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, place, "{outcome:?}");
        }
    }
}
