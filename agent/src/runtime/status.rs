//! What the core knows of its cluster, and the mesh of its links, as one message.

use std::sync::Arc;
use std::time::Instant;

use rauthy_core::{Configuration, Replica, Role, Slot, Status};
use rauthy_proto::cache::{self, ConfigurationStatus, Credentials, MemberStatus, NodeStatus};

use crate::mesh::{Board, Me};
use crate::tls::Tls;

/// The parts of a status that the core does not know.
pub(super) struct View {
    pub cluster: String,
    pub slot: Slot,
    pub started: Instant,
    pub board: Arc<Board>,
    pub tls: Option<Arc<Tls>>,
    /// None: a single node.
    pub me: Option<Arc<Me>>,
}

impl View {
    /// Everything together; `core` is `None` when the consensus task has ended.
    pub fn node_status(&self, core: Option<&Status>, replica: &Replica, stopping: bool) -> NodeStatus {
        let store = replica.store();
        let mut status = NodeStatus {
            cluster: self.cluster.clone(),
            slot: self.slot.to_string(),
            not_ready_reason: "this agent is stopping".into(),
            entries: store.entries() as u64,
            bytes: store.bytes() as u64,
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            certificate_expires_in_s: self.tls.as_ref().map_or(0, |tls| tls.expires_in_s()),
            refusals: self.board.refusals(),
            credentials: self.credentials(),
            ..NodeStatus::default()
        };
        let Some(core) = core else { return status };
        status.incarnation = core.me.boot.to_string();
        status.role = role(core.role).into();
        status.generation = core.generation.map(|g| g.to_string()).unwrap_or_default();
        status.term = core.term;
        status.leader = core.leader.as_ref().map(|l| l.slot.to_string()).unwrap_or_default();
        status.commit = core.commit;
        status.applied = core.applied;
        status.lease_ms = core.lease_left.as_millis();
        status.host_epoch = core.epoch;
        status.digest = core.digest.map(|digest| format!("{digest:016x}")).unwrap_or_default();
        status.wipes = core.wipes;
        status.elections = core.elections;
        status.configuration = core.configuration.as_deref().map(configuration);
        let members = core.members.iter();
        status.members = members.map(|member| self.member(member, &status.generation)).collect();
        status.ready = core.ready && !stopping;
        if !stopping {
            status.not_ready_reason = if core.ready { String::new() } else { core.not_ready.into() };
        }
        status
    }

    fn credentials(&self) -> Option<Credentials> {
        let me = self.me.as_ref()?;
        let (certificate, authorities) = self.tls.as_ref().map(|tls| tls.names()).unwrap_or_default();
        Some(Credentials { certificate, authorities, tokens: me.tokens().ids() })
    }

    fn member(&self, member: &rauthy_core::Member, generation: &str) -> MemberStatus {
        let me = member.slot == self.slot;
        let compared = self.board.comparison(&member.slot, generation);
        let link = self.board.link(&member.slot);
        MemberStatus {
            slot: member.slot.to_string(),
            incarnation: member.seat.as_ref().map(|seat| seat.boot.to_string()).unwrap_or_default(),
            me,
            connected: me || link.connected,
            link_error: if me { String::new() } else { link.error },
            lag: member.lag,
            caught_up: member.caught_up,
            learned: member.learned,
            report: self.board.report(&member.slot),
            compared_at: compared.as_ref().map(|compared| compared.index),
            equal: compared.is_some_and(|compared| compared.equal),
        }
    }
}

fn configuration(of: &Configuration) -> ConfigurationStatus {
    let list =
        |n: usize| of.lists.get(n).map_or(&[][..], Vec::as_slice).iter().map(Slot::to_string).collect();
    ConfigurationStatus { epoch: of.epoch, now: list(0), next: list(1), resizing: of.resizing }
}

fn role(role: Role) -> cache::Role {
    match role {
        Role::Free => cache::Role::Free,
        Role::Learner => cache::Role::Learner,
        Role::Follower => cache::Role::Follower,
        Role::Candidate => cache::Role::Candidate,
        Role::Leader => cache::Role::Leader,
    }
}
