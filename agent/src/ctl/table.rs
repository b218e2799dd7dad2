//! `ctl status` for people: the verdict first, then the members, then what to do about it. Pure.

use std::fmt::Write;

use super::view::{MemberView, NodeView, RefusalView};

/// A certificate with less than this left is named in the verdict.
const EXPIRES_SOON_S: i64 = 14 * 24 * 3600;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Good,
    Poor,
    Bad,
    Faint,
    Bold,
}

struct Paint(bool);

impl Paint {
    fn text(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Poor => "33",
            Colour::Bad => "31",
            Colour::Faint => "2",
            Colour::Bold => "1",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole picture, with a line end.
pub(super) fn status(node: &NodeView, colours: bool) -> String {
    let paint = Paint(colours);
    let mut out = String::new();
    let (colour, verdict) = verdict(node);
    let _ = writeln!(out, "{} {}\n", paint.text(colour, "●"), paint.text(Colour::Bold, &verdict));
    facts(&mut out, node, &paint);
    members(&mut out, node, &paint);
    refusals(&mut out, node, &paint);
    out
}

/// One sentence: can this node be used, and is anything wrong in the cluster?
fn verdict(node: &NodeView) -> (Colour, String) {
    if !node.ready {
        let reason = node.not_ready_reason.as_deref().unwrap_or("it does not say why");
        return (Colour::Bad, format!("{} is not ready: {reason}", node.slot));
    }
    let mut problems: Vec<String> = Vec::new();
    for member in node.members.iter().filter(|m| !m.me) {
        if !member.connected {
            let why = member.link_error.as_deref().map(|e| format!(" ({e})")).unwrap_or_default();
            problems.push(format!("{} is not connected{why}", member.slot));
        } else if node.role == "leader" && !member.caught_up {
            let lag = member
                .lag
                .filter(|l| *l > 0)
                .map_or("silent or catching up".into(), |l| format!("{l} behind"));
            problems.push(format!("{} is {lag}", member.slot));
        }
    }
    match node.certificate_expires_in_s {
        Some(left) if left < 0 => problems.push("the certificate has expired".into()),
        Some(left) if left < EXPIRES_SOON_S => {
            problems.push(format!("the certificate expires in {}", span(left.unsigned_abs())));
        }
        _ => {}
    }
    if !node.refusals.is_empty() {
        problems.push("somebody is refused, see below".into());
    }
    let leads = if node.role == "leader" {
        "this node leads".to_owned()
    } else {
        format!("{} leads", node.leader.as_deref().unwrap_or("nobody known"))
    };
    if problems.is_empty() {
        (
            Colour::Good,
            format!("All is well: {leads}, {} of {} members connected", connected(node), node.members.len()),
        )
    } else {
        (Colour::Poor, format!("This node is ready and {leads}, but {}", problems.join("; ")))
    }
}

fn connected(node: &NodeView) -> usize {
    node.members.iter().filter(|m| m.me || m.connected).count()
}

fn facts(out: &mut String, node: &NodeView, paint: &Paint) {
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
    line(
        "agent",
        format!("version {}, incarnation {}, digest {}", node.version, node.incarnation, node.digest),
    );
}

fn members(out: &mut String, node: &NodeView, paint: &Paint) {
    if node.members.is_empty() {
        return;
    }
    let rows: Vec<[(Option<Colour>, String); 4]> = node
        .members
        .iter()
        .map(|m| {
            let name = if m.me { format!("{} (this node)", m.slot) } else { m.slot.clone() };
            [(None, name), role(node, m), link(m), data(node, m)]
        })
        .collect();
    let head = ["MEMBER", "ROLE", "LINK", "DATA"];
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, (_, cell)) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    out.push('\n');
    let mut line = |cells: Vec<(Option<Colour>, &str)>| {
        let last = cells.len() - 1;
        for (i, (colour, cell)) in cells.into_iter().enumerate() {
            let gap = if i == last { 0 } else { widths[i] + 2 - cell.chars().count() };
            out.push_str(&colour.map_or_else(|| cell.to_owned(), |c| paint.text(c, cell)));
            out.push_str(&" ".repeat(gap));
        }
        out.push('\n');
    };
    line(head.iter().map(|h| (Some(Colour::Faint), *h)).collect());
    for row in &rows {
        line(row.iter().map(|(colour, cell)| (*colour, cell.as_str())).collect());
    }
}

fn role(node: &NodeView, member: &MemberView) -> (Option<Colour>, String) {
    if node.leader.as_deref() == Some(member.slot.as_str()) {
        (Some(Colour::Good), "leader".into())
    } else if member.me {
        (None, node.role.into())
    } else if member.incarnation.is_some() {
        (None, "member".into())
    } else {
        (Some(Colour::Poor), "no seat".into())
    }
}

fn link(member: &MemberView) -> (Option<Colour>, String) {
    if member.me {
        (None, "-".into())
    } else if member.connected {
        (Some(Colour::Good), "connected".into())
    } else {
        let why = member.link_error.as_deref().unwrap_or("not tried yet");
        (Some(Colour::Bad), format!("down: {why}"))
    }
}

/// What a node has of the data; of others only the leader knows.
fn data(node: &NodeView, member: &MemberView) -> (Option<Colour>, String) {
    if !member.me && node.role != "leader" {
        let who = if node.leader.is_some() { "the leader knows" } else { "-" };
        return (Some(Colour::Faint), who.into());
    }
    if member.me && node.role == "free" {
        return (Some(Colour::Poor), "none".into());
    }
    match (member.caught_up, member.lag) {
        (true, None | Some(0)) => (Some(Colour::Good), "everything".into()),
        (true, Some(lag)) => (Some(Colour::Good), format!("everything committed, {lag} behind")),
        (false, Some(lag)) if lag > 0 => (Some(Colour::Poor), format!("{lag} behind")),
        (false, _) if member.me => (Some(Colour::Poor), "catching up".into()),
        (false, _) => (Some(Colour::Poor), "silent or catching up".into()),
    }
}

fn refusals(out: &mut String, node: &NodeView, paint: &Paint) {
    if node.refusals.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.text(Colour::Faint, "REFUSED LATELY"));
    for refusal in &node.refusals {
        let RefusalView { from, claimed, reason, age_s, count } = refusal;
        let claimed = claimed.as_deref().map(|c| format!(", which says it is {c}")).unwrap_or_default();
        let times = if *count == 1 { "once".into() } else { format!("{count} times") };
        let _ = writeln!(
            out,
            "{} {from}{claimed}: {reason} ({times}, last {} ago)",
            paint.text(Colour::Bad, "✗"),
            span(*age_s)
        );
        if let Some(advice) = advice(reason) {
            let _ = writeln!(out, "  {advice}");
        }
    }
}

/// What the reason of a refusal means and what to do about it; the names are those of `mesh.proto`.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "WRONG_TOKEN" => "its CACHE_AUTH_TOKEN is another one: give all members the same",
        "WRONG_CLUSTER" => "its CACHE_CLUSTER_NAME is another one: it belongs to another cluster",
        "UNKNOWN_SLOT" => "it is not in HA_HOSTS here: give all members the same list",
        "WRONG_SLOT" => {
            "it wanted to reach another member: its HA_HOSTS or its DNS leads to the wrong address"
        }
        "DUPLICATE_SLOT" => "another living process is this member already: stop one of them",
        "WRONG_VERSION" => "it speaks another version of the protocol: update the older one",
        "TIMEOUT" => "it connected and said nothing: is something else calling this port?",
        "MALFORMED" => "it speaks another protocol: is something else calling this port?",
        "TLS" => {
            "no TLS with it: its certificate is not signed by CACHE_TLS_CA_CLIENT, or it speaks no TLS at all"
        }
        _ => return None,
    })
}

/// The two largest units.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min {} s", seconds % 60),
        (0, h, m) => format!("{h} h {m} min"),
        (1, h, _) => format!("1 day {h} h"),
        (d, _, _) => format!("{d} days"),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
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

MEMBER           ROLE    LINK       DATA
a:1 (this node)  leader  -          everything
b:1              member  connected  everything
c:1              member  connected  everything
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
        let first = text.lines().next().unwrap();
        for part in [
            "b:1 is not connected (connection refused)",
            "c:1 is 40 behind",
            "expires in 1 day 2 h",
            "refused",
        ] {
            assert!(first.contains(part), "{part} is missing in: {first}");
        }
        assert!(text.contains("c:1              member  connected                 40 behind"), "{text}");
        assert!(
            text.contains("10.0.0.9:4000, which says it is d:1: WRONG_TOKEN (12 times, last 3 s ago)"),
            "{text}"
        );
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
        assert!(shown.starts_with("● a:1 is not ready: no quorum\n"), "{shown}");
        assert!(shown.contains("certificate  none, TLS is off"), "{shown}");
        assert!(shown.contains("a:1 (this node)  free    -          none\n"), "{shown}");
        assert!(shown.contains("b:1              member  connected  -\n"), "{shown}");
        let mut node = healthy();
        node.role = Role::Follower.into();
        node.leader = "b:1".into();
        let shown = text(&node);
        assert!(shown.starts_with("● All is well: b:1 leads, 3 of 3 members connected"), "{shown}");
        assert!(shown.contains("c:1              member    connected  the leader knows"), "{shown}");
    }

    #[test]
    fn units() {
        let shown = [0, 59, 61, 3600, 86_400, 200_000].map(span);
        assert_eq!(shown, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 day 0 h", "2 days"].map(String::from));
        let shown = [0, 1023, 1024, 3 << 20, 5 << 30].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "3.0 MiB", "5.0 GiB"].map(String::from));
    }
}
