//! Types that redhac's interface mentions but nobody can name: their fields can be read all the same.

/// An ack level as redhac sent it between its nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AckLevel {
    /// The level; `None` in no answer of [`crate::AckLevel::get_rpc_value`].
    pub ack_level: Option<Level>,
}

/// The levels.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::enum_variant_names, reason = "those are redhac's names")]
pub enum Level {
    /// Committed by a quorum.
    LevelQuorum(Empty),
    /// The leader and one more member hold it.
    LevelOnce(Empty),
    /// The leader holds it.
    LevelLeader(Empty),
}

/// Nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Empty {}
