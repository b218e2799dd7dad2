//! Ack levels, and the health of the cluster as redhac tells it.

use std::time::{SystemTime, UNIX_EPOCH};

use rauthy_agent::embedded::{Health, Quorum};
use serde::{Deserialize, Serialize};

use crate::client::RpcRequest;
use crate::{CacheError, rpc};

/// When a write over the leader is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckLevel {
    /// Committed by a quorum: survives the loss of any minority.
    Quorum,
    /// The leader and one more member hold it.
    Once,
    /// The leader holds it: lost if it dies before it has replicated.
    Leader,
}

impl AckLevel {
    /// The level as redhac sent it between its nodes.
    #[must_use]
    pub fn get_rpc_value(&self) -> rpc::AckLevel {
        let level = match self {
            Self::Quorum => rpc::Level::LevelQuorum(rpc::Empty {}),
            Self::Once => rpc::Level::LevelOnce(rpc::Empty {}),
            Self::Leader => rpc::Level::LevelLeader(rpc::Empty {}),
        };
        rpc::AckLevel { ack_level: Some(level) }
    }

    /// The level that [`AckLevel::get_rpc_value`] gave. `None`, at which redhac panics, is the safest one.
    #[must_use]
    pub fn from_rpc_value(value: Option<rpc::AckLevel>) -> Self {
        match value.and_then(|level| level.ack_level) {
            Some(rpc::Level::LevelQuorum(_)) | None => Self::Quorum,
            Some(rpc::Level::LevelOnce(_)) => Self::Once,
            Some(rpc::Level::LevelLeader(_)) => Self::Leader,
        }
    }
}

impl From<AckLevel> for rauthy_client::AckLevel {
    fn from(level: AckLevel) -> Self {
        match level {
            AckLevel::Quorum => Self::Quorum,
            AckLevel::Once => Self::Once,
            AckLevel::Leader => Self::Leader,
        }
    }
}

/// The health of the cluster as this node sees it.
#[derive(Debug, Clone, Default)]
pub struct QuorumHealthState {
    /// How many members work together.
    pub health: QuorumHealth,
    /// What this node does.
    pub state: QuorumState,
    /// Always `None`: nobody else sends to the leader.
    pub tx_leader: Option<flume::Sender<RpcRequest>>,
    /// Other members with an authenticated connection to this one.
    pub connected_hosts: usize,
}

impl QuorumHealthState {
    /// Whether reads and writes are possible.
    ///
    /// # Errors
    /// If they are not.
    pub fn is_quorum_good(&self) -> Result<(), CacheError> {
        match self.health {
            QuorumHealth::Good | QuorumHealth::Degraded => Ok(()),
            QuorumHealth::Bad => Err(CacheError::new("QuorumHealth::Bad - cannot operate the HA cache")),
        }
    }
}

impl From<&Health> for QuorumHealthState {
    fn from(health: &Health) -> Self {
        let state = match health {
            Health { ready: false, .. } => QuorumState::Undefined,
            Health { leads: true, .. } => QuorumState::Leader,
            Health { leader: Some(_), .. } => QuorumState::Follower,
            Health { campaigns: true, .. } => QuorumState::LeadershipRequested(now()),
            _ => QuorumState::LeaderDead,
        };
        let quorum = match health.quorum {
            Quorum::Full => QuorumHealth::Good,
            Quorum::Degraded => QuorumHealth::Degraded,
            Quorum::Lost => QuorumHealth::Bad,
        };
        Self { health: quorum, state, tx_leader: None, connected_hosts: health.connected }
    }
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// How many members work together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuorumHealth {
    /// All of them.
    Good,
    /// Not all, but enough.
    Degraded,
    /// Too few: nothing can be read or written. Or this node is just starting, or copying the data.
    #[default]
    Bad,
}

/// What this node does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuorumState {
    /// It leads.
    Leader,
    /// It knows no leader, but may still be read for a moment.
    LeaderDead,
    /// Not used here: a hand-over of the leadership is not seen from outside.
    LeaderSwitch,
    /// Not used here.
    LeaderTxAwait(String),
    /// It asks to be elected, since this time (nanoseconds since 1970).
    LeadershipRequested(i64),
    /// It follows a leader.
    Follower,
    /// It has no quorum, or is not ready yet.
    #[default]
    Undefined,
    /// Not used here.
    Retry,
}

/// A full report. redhac gives none to applications, and neither does this; the type is there for its name.
#[derive(Debug, Clone, PartialEq)]
pub struct QuorumReport {
    /// How many members work together.
    pub health: QuorumHealth,
    /// What this node does.
    pub state: QuorumState,
    /// Who leads.
    pub leader: Option<RegisteredLeader>,
    /// The other members.
    pub hosts: Vec<RpcServer>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq)]
pub enum RegisteredLeader {
    /// This node, since this time.
    Local(i64),
    /// Another one.
    Remote(RpcServer),
}

/// Another member. Two are equal if their addresses are.
#[derive(Debug, Clone)]
pub struct RpcServer {
    /// Where it is.
    pub address: String,
    /// Whether it is connected.
    pub state: RpcServerState,
    /// Always `None` here.
    pub tx: Option<flume::Sender<RpcRequest>>,
    /// Since when it leads.
    pub election_ts: i64,
}

impl PartialEq for RpcServer {
    fn eq(&self, other: &Self) -> bool {
        other.address == self.address
    }
}

/// Whether a member is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcServerState {
    /// It is.
    Alive,
    /// It is not.
    Dead,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_in_redhacs_words() {
        let health =
            Health { ready: true, quorum: Quorum::Full, connected: 2, others: 2, ..Health::default() };
        let told = |health: &Health| {
            let told = QuorumHealthState::from(health);
            (told.health, told.state, told.connected_hosts)
        };
        let leader = Some("a:1".to_owned());
        let follows = Health { leader: leader.clone(), ..health.clone() };
        assert_eq!(told(&follows), (QuorumHealth::Good, QuorumState::Follower, 2));
        let leads = Health { leads: true, quorum: Quorum::Degraded, connected: 1, ..follows.clone() };
        assert_eq!(told(&leads), (QuorumHealth::Degraded, QuorumState::Leader, 1));
        assert_eq!(told(&health), (QuorumHealth::Good, QuorumState::LeaderDead, 2));
        let campaigns = QuorumHealthState::from(&Health { campaigns: true, ..health });
        assert!(matches!(campaigns.state, QuorumState::LeadershipRequested(since) if since > 0));
        let lost = Health { ready: false, quorum: Quorum::Lost, ..leads };
        assert_eq!(told(&lost), (QuorumHealth::Bad, QuorumState::Undefined, 1));
        assert!(QuorumHealthState::from(&lost).is_quorum_good().is_err());
        assert!(QuorumHealthState::from(&follows).is_quorum_good().is_ok());
    }

    #[test]
    fn a_level_comes_back_as_itself() {
        for level in [AckLevel::Quorum, AckLevel::Once, AckLevel::Leader] {
            assert_eq!(AckLevel::from_rpc_value(Some(level.get_rpc_value())), level);
        }
    }
}
