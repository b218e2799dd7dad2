//! What is measured: one file a part of the report.

pub mod faults;
pub mod join;
pub mod members;
pub mod peers;
pub mod resources;
pub mod socket;
pub mod strangers;

/// Writes at a time.
pub const TASKS: [usize; 4] = [1, 16, 64, 512];
/// Writes a second where the rate is fixed: about half of what the slowest of all carries.
pub const RATE: u64 = 2000;

/// Names of the parts, as they stand in the results.
pub mod name {
    /// Quorum writes through the leader.
    pub const LEADER: &str = "put through the leader";
    /// Quorum writes through a follower.
    pub const FOLLOWER: &str = "put through a follower";
    /// Quorum writes at a fixed rate.
    pub const PACED: &str = "put at a fixed rate";
    /// Writes that the leader alone has.
    pub const LEVEL_LEADER: &str = "put, level Leader";
    /// Writes that are queued.
    pub const LEVEL_DIRECT: &str = "put, level Direct";
    /// Reads in the member's own process.
    pub const READ: &str = "local read";
    /// Reads while others write.
    pub const READ_LOADED: &str = "local read under writes";
    /// Reads over a socket.
    pub const SOCKET_GET: &str = "read over a socket";
    /// Writes over a socket.
    pub const SOCKET_PUT: &str = "put over a socket";
    /// The leader is killed.
    pub const KILL: &str = "leader killed";
    /// The leader is asked to stop.
    pub const STOP: &str = "leader stopped";
    /// A member joins.
    pub const JOIN: &str = "join with a million entries";
    /// Bad connections and streams.
    pub const STRANGERS: &str = "writes while strangers come";
    /// Memory.
    pub const MEMORY: &str = "memory of a million entries";
    /// Nothing happens.
    pub const IDLE: &str = "idle";
    /// The number of members.
    pub const MEMBERS: &str = "members";
}
