//! Whether there is a quorum, and who leads.

use std::time::Duration;

use rauthy_proto::cache::{NodeStatus, Role};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::runtime::Handle;

/// How often the node is asked; a change is told so late at most.
const LOOK: Duration = Duration::from_millis(100);

/// How many members this node works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Quorum {
    /// All members are connected.
    Full,
    /// Some are not, the others are enough.
    Degraded,
    /// Too few: nothing is read or written here. Or this node has just begun, or is copying the data.
    #[default]
    Lost,
}

/// The health of one node, as it sees it itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many members this node works with.
    pub quorum: Quorum,
    /// Reads and writes are served here.
    pub ready: bool,
    /// Who leads, `host:port`; `None`: nobody, as far as this node knows.
    pub leader: Option<String>,
    /// This node leads.
    pub leads: bool,
    /// This node asks to be elected.
    pub campaigns: bool,
    /// Name of what the values belong to: another one began empty, with nothing declared. `None`: there is none yet.
    pub generation: Option<String>,
    /// Other members with an authenticated connection to this one.
    pub connected: usize,
    /// Other members.
    pub others: usize,
    /// This node is stopping or has stopped.
    pub stopped: bool,
}

impl Health {
    /// What a status says.
    #[must_use]
    pub fn of(status: &NodeStatus) -> Self {
        let others = status.members.iter().filter(|member| !member.me);
        let connected = others.clone().filter(|member| member.connected).count();
        let others = others.count();
        let quorum = match status.ready {
            true if connected == others => Quorum::Full,
            true => Quorum::Degraded,
            false => Quorum::Lost,
        };
        Self {
            quorum,
            ready: status.ready,
            leader: Some(status.leader.clone()).filter(|leader| !leader.is_empty()),
            leads: status.role() == Role::Leader,
            generation: Some(status.generation.clone()).filter(|generation| !generation.is_empty()),
            campaigns: status.role() == Role::Candidate,
            connected,
            others,
            stopped: false,
        }
    }

    pub(super) fn stop(&mut self) {
        *self = Self { others: self.others, stopped: true, ..Self::default() };
    }
}

/// Tells every change; never ends.
pub(super) async fn watch(handle: &Handle, health: &watch::Sender<Health>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let now = Health::of(&handle.status().await);
        health.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use rauthy_proto::cache::MemberStatus;

    use super::*;

    #[test]
    fn a_status_says_how_many_work_together() {
        let member = |me, connected| MemberStatus { me, connected, ..MemberStatus::default() };
        let status = |ready, peers: [bool; 2]| NodeStatus {
            ready,
            role: Role::Follower.into(),
            leader: "b:1".into(),
            members: vec![member(true, true), member(false, peers[0]), member(false, peers[1])],
            ..NodeStatus::default()
        };
        let health = Health::of(&status(true, [true, true]));
        assert_eq!((health.quorum, health.connected, health.others), (Quorum::Full, 2, 2));
        assert_eq!((health.leader.as_deref(), health.leads), (Some("b:1"), false));
        assert_eq!(Health::of(&status(true, [true, false])).quorum, Quorum::Degraded);
        assert_eq!(
            Health::of(&status(false, [true, true])).quorum,
            Quorum::Lost,
            "connected, but not caught up"
        );
        let nobody = NodeStatus { leader: String::new(), ..status(false, [false; 2]) };
        assert_eq!(Health::of(&nobody).leader, None);
    }
}
