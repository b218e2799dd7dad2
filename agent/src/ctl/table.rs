//! `ctl status` for people: the verdict first, then what to do, then figures and members. Pure.

use std::fmt::Write;

use super::paint::{Cell, Colour, Paint, columns};
use crate::view::units::{bytes, span};
use crate::view::{Health, MemberView, NodeView, verdict};

/// The whole picture, with a line end.
pub(super) fn status(node: &NodeView, colours: bool) -> String {
    let paint = Paint(colours);
    let mut out = String::new();
    let verdict = verdict(node);
    let colour = match verdict.health {
        Health::Good => Colour::Good,
        Health::Poor => Colour::Poor,
        Health::Bad => Colour::Bad,
    };
    let _ = writeln!(out, "{} {}\n", paint.text(colour, "●"), paint.text(Colour::Bold, &verdict.summary));
    for problem in &verdict.problems {
        let _ = writeln!(out, "{} {}", paint.text(Colour::Bad, "✗"), problem.what);
        if let Some(advice) = &problem.advice {
            let _ = writeln!(out, "  {} {advice}", paint.text(Colour::Faint, "→"));
        }
    }
    if !verdict.problems.is_empty() {
        out.push('\n');
    }
    facts(&mut out, node, paint);
    if !node.members.is_empty() {
        out.push('\n');
        out.push_str(&members(node, paint));
    }
    out
}

fn facts(out: &mut String, node: &NodeView, paint: Paint) {
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{} {value}", paint.text(Colour::Faint, &format!("{name:<12}")));
    };
    let state = if node.ready { "ready" } else { "not ready" };
    line("node", format!("{}, {}, {state}, up {}", node.slot, node.role, span(node.uptime_ms / 1000)));
    line("leader", node.leader.clone().unwrap_or_else(|| "none known".into()));
    line("cluster", {
        let generation = node.generation.as_deref().unwrap_or("none yet");
        format!("{}, generation {generation}, term {}", node.cluster, node.term)
    });
    line("data", {
        let behind = node.commit.saturating_sub(node.applied);
        let behind = if behind == 0 { String::new() } else { format!(", {behind} not applied yet") };
        format!("{} values, {}, version {}{behind}", node.entries, bytes(node.bytes), node.applied)
    });
    line("read lease", if node.lease_ms == 0 { "none".into() } else { format!("{} ms left", node.lease_ms) });
    line(
        "certificate",
        match node.certificate_expires_in_s {
            None => "none, TLS is off".into(),
            Some(left) if left < 0 => format!("expired {} ago", span(left.unsigned_abs())),
            Some(left) => format!("expires in {}", span(left.unsigned_abs())),
        },
    );
    if node.wipes > 0 {
        line("wipes", format!("{} since the start: copies given up for want of a quorum", node.wipes));
    }
    line("agent", {
        let digest = node.digest.as_deref().unwrap_or("none while a copy is installed");
        format!("version {}, incarnation {}, digest {digest}", node.version, node.incarnation)
    });
}

/// The members, a line each.
pub(super) fn members(node: &NodeView, paint: Paint) -> String {
    let rows: Vec<[Cell; 6]> = node
        .members
        .iter()
        .map(|m| {
            let name = if m.me { format!("{} (this node)", m.slot) } else { m.slot.clone() };
            [(None, name), role(node, m), link(m), data(node, m), equal(m), certificate(node, m)]
        })
        .collect();
    columns(paint, ["MEMBER", "ROLE", "LINK", "DATA", "EQUAL", "CERTIFICATE"], &rows)
}

fn role(node: &NodeView, member: &MemberView) -> Cell {
    let reported = member.report.as_ref().map(|report| report.role);
    if node.leader.as_deref() == Some(member.slot.as_str()) {
        (Some(Colour::Good), "leader".into())
    } else if member.me {
        (None, node.role.into())
    } else if let Some(reported) = reported {
        (None, reported.into())
    } else if member.incarnation.is_some() {
        (None, "member".into())
    } else {
        (Some(Colour::Poor), "no seat".into())
    }
}

fn link(member: &MemberView) -> Cell {
    if member.me {
        (None, "-".into())
    } else if member.connected {
        (Some(Colour::Good), "connected".into())
    } else {
        (Some(Colour::Bad), "down".into())
    }
}

/// How much of the data a member has: the leader knows, else what the member says itself.
fn data(node: &NodeView, member: &MemberView) -> Cell {
    if member.me && node.role == "free" {
        return (Some(Colour::Poor), "none".into());
    }
    if !member.me && node.role != "leader" {
        return match &member.report {
            Some(report) if report.ready => (Some(Colour::Good), format!("at {}", report.applied)),
            Some(report) => (Some(Colour::Poor), format!("at {}, not ready", report.applied)),
            None => (Some(Colour::Faint), "not known".into()),
        };
    }
    match (member.caught_up, member.lag) {
        (true, None | Some(0)) => (Some(Colour::Good), "everything".into()),
        (true, Some(lag)) => (Some(Colour::Good), format!("everything committed, {lag} behind")),
        (false, Some(lag)) if lag > 0 => (Some(Colour::Poor), format!("{lag} behind")),
        (false, _) if member.me => (Some(Colour::Poor), "catching up".into()),
        (false, _) => (Some(Colour::Poor), "silent or catching up".into()),
    }
}

/// Whether a member's data was the same as this node's.
fn equal(member: &MemberView) -> Cell {
    match (member.me, member.equal, member.compared_at) {
        (true, ..) => (None, "-".into()),
        (_, Some(true), Some(at)) => (None, format!("at {at}")),
        (_, Some(false), Some(at)) => (Some(Colour::Bad), format!("DIFFERS at {at}")),
        _ => (Some(Colour::Faint), "not compared yet".into()),
    }
}

fn certificate(node: &NodeView, member: &MemberView) -> Cell {
    let left = if member.me {
        node.certificate_expires_in_s
    } else {
        match &member.report {
            Some(report) => report.certificate_expires_in_s,
            None => return (Some(Colour::Faint), "not known".into()),
        }
    };
    match left {
        None => (None, "none".into()),
        Some(left) if left < 0 => (Some(Colour::Bad), "expired".into()),
        Some(left) => (None, span(left.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rauthy_client::{MemberStatus, NodeStatus, Refusal, Role};

    fn member(slot: &str, me: bool) -> MemberStatus {
        MemberStatus {
            slot: slot.into(),
            incarnation: "aa".into(),
            me,
            connected: !me,
            lag: Some(0),
            caught_up: true,
            ..Default::default()
        }
    }

    fn healthy() -> NodeStatus {
        NodeStatus {
            cluster: "rauthy".into(),
            slot: "a:1".into(),
            incarnation: "aa".into(),
            role: Role::Leader.into(),
            generation: "bb".into(),
            term: 3,
            leader: "a:1".into(),
            commit: 7,
            applied: 7,
            ready: true,
            lease_ms: 900,
            members: vec![member("a:1", true), member("b:1", false), member("c:1", false)],
            entries: 2,
            bytes: 2048,
            digest: "cc".into(),
            version: "0.1.0".into(),
            uptime_ms: 65_000,
            certificate_expires_in_s: 90 * 86_400,
            ..Default::default()
        }
    }

    fn text(node: &NodeStatus) -> String {
        status(&NodeView::from(node), false)
    }

    #[test]
    fn a_healthy_leader() {
        let expected = "\
● All is well: this node leads, 3 of 3 members connected

node         a:1, leader, ready, up 1 min 5 s
leader       a:1
cluster      rauthy, generation bb, term 3
data         2 values, 2.0 KiB, version 7
read lease   900 ms left
certificate  expires in 90 days
agent        version 0.1.0, incarnation aa, digest cc

MEMBER           ROLE    LINK       DATA        EQUAL             CERTIFICATE
a:1 (this node)  leader  -          everything  -                 90 days
b:1              member  connected  everything  not compared yet  not known
c:1              member  connected  everything  not compared yet  not known
";
        assert_eq!(text(&healthy()), expected);
        assert!(!text(&healthy()).contains('\x1b'));
        assert!(status(&NodeView::from(&healthy()), true).contains("\x1b[32m"));
    }

    #[test]
    fn what_is_wrong_is_said_first() {
        let mut node = healthy();
        node.members[1].connected = false;
        node.members[1].link_error = "connection refused".into();
        node.members[2].caught_up = false;
        node.members[2].lag = Some(40);
        node.certificate_expires_in_s = 86_400 + 7200;
        node.refusals = vec![Refusal {
            from: "10.0.0.9:4000".into(),
            claimed: "d:1".into(),
            reason: "WRONG_TOKEN".into(),
            age_s: 3,
            count: 12,
        }];
        let text = text(&node);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "● This node serves, this node leads; 4 things need attention");
        assert_eq!(lines[2], "✗ b:1 is not connected (connection refused)");
        assert!(lines[3].starts_with("  → nothing listens there"), "{text}");
        for part in [
            "✗ c:1 is 40 entries behind\n",
            "✗ the certificate of this node expires in 1 day 2 h\n",
            "✗ 10.0.0.9:4000, which says it is d:1, is refused: it has another token (WRONG_TOKEN, 12 times, last 3 s ago)\n",
            "b:1              member  down       everything",
            "c:1              member  connected  40 behind",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn a_node_without_quorum_and_one_that_follows() {
        let mut node = healthy();
        node.ready = false;
        node.role = Role::Free.into();
        node.members[0].caught_up = false;
        node.not_ready_reason = "no quorum".into();
        node.leader.clear();
        node.generation.clear();
        node.lease_ms = 0;
        node.certificate_expires_in_s = 0;
        let shown = text(&node);
        assert!(shown.starts_with("● a:1 is not ready (no quorum)\n"), "{shown}");
        assert!(shown.contains("certificate  none, TLS is off"), "{shown}");
        assert!(shown.contains("a:1 (this node)  free    -          none  "), "{shown}");
        assert!(shown.contains("b:1              member  connected  not known  "), "{shown}");
        let mut node = healthy();
        node.role = Role::Follower.into();
        node.leader = "b:1".into();
        let shown = text(&node);
        assert!(shown.starts_with("● All is well: b:1 leads, 3 of 3 members connected"), "{shown}");
        assert!(shown.contains("c:1              member    connected  not known"), "{shown}");
    }
}
