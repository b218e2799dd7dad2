//! Whether a cluster is well, as one node sees it, and what to do where it is not. Pure: the same words for `ctl status`
//! and the status page.

use serde::Serialize;

use super::units::span;
use super::{MemberView, NodeView, RefusalView};

/// A certificate with less than this left is a problem.
const EXPIRES_SOON_S: i64 = 14 * 24 * 3600;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing is wrong.
    Good,
    /// This node serves, but something needs attention.
    Poor,
    /// This node does not serve.
    Bad,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do next.
    pub advice: Option<String>,
}

/// One sentence, and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How it is.
    pub health: Health,
    /// The sentence.
    pub summary: String,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

fn problem(what: impl Into<String>, advice: &str) -> Problem {
    Problem { what: what.into(), advice: (!advice.is_empty()).then(|| advice.to_owned()) }
}

/// Judges how a node sees its cluster.
#[must_use]
pub fn verdict(node: &NodeView) -> Verdict {
    let mut problems = Vec::new();
    if !node.ready {
        problems.push(not_ready(node));
    }
    for member in node.members.iter().filter(|m| !m.me) {
        problems.extend(of_member(node, member));
    }
    problems.extend(certificate("the certificate of this node", node.certificate_expires_in_s));
    for refusal in &node.refusals {
        problems.push(refused(refusal));
    }
    let leads = if node.role == "leader" {
        "this node leads".to_owned()
    } else {
        format!("{} leads", node.leader.as_deref().unwrap_or("nobody known"))
    };
    let (all, connected) = (node.members.len(), node.members.iter().filter(|m| m.me || m.connected).count());
    let (health, summary) = if !node.ready {
        let reason = node.not_ready_reason.as_deref().unwrap_or("it does not say why");
        (Health::Bad, format!("{} is not ready ({reason})", node.slot))
    } else if problems.is_empty() && all < 2 {
        (Health::Good, "All is well: a single node, which serves alone".into())
    } else if problems.is_empty() {
        (Health::Good, format!("All is well: {leads}, {connected} of {all} members connected"))
    } else {
        let things = if problems.len() == 1 {
            "one thing needs".into()
        } else {
            format!("{} things need", problems.len())
        };
        (Health::Poor, format!("This node serves, {leads}; {things} attention"))
    };
    Verdict { health, summary, problems }
}

fn not_ready(node: &NodeView) -> Problem {
    let reason = node.not_ready_reason.as_deref().unwrap_or_default();
    let all = node.members.len();
    let connected = node.members.iter().filter(|m| m.me || m.connected).count();
    let reached = format!("{connected} of {all} members see each other here, {} are needed", all / 2 + 1);
    if reason.contains("just begun") || reason.contains("receiving a snapshot") {
        return problem("this node is starting", "nothing to do: wait a few seconds");
    }
    if reason.contains("stopping") {
        return problem("this node is stopping", "");
    }
    if connected <= all / 2 {
        return problem(
            format!("there is no quorum: {reached}"),
            "start the missing members, or see below why they are not connected; without a quorum nothing is read \
             or written, and the data is wiped after CACHE_INVALIDATE_AFTER",
        );
    }
    problem(
        format!("there is no leader for this node yet, although {reached}"),
        "wait a few seconds; then look at the logs of all members",
    )
}

fn of_member(node: &NodeView, member: &MemberView) -> Vec<Problem> {
    let mut problems = Vec::new();
    let slot = &member.slot;
    if !member.connected {
        let why = member.link_error.as_deref().unwrap_or("not tried yet");
        problems.push(problem(format!("{slot} is not connected ({why})"), link_advice(why)));
    } else if node.role == "leader" && !member.caught_up {
        let lag = member
            .lag
            .filter(|l| *l > 0)
            .map_or("is silent or catching up".into(), |l| format!("is {l} entries behind"));
        problems.push(problem(
            format!("{slot} {lag}"),
            "it catches up by itself; if it stays behind, look at its log, and at its processor and network",
        ));
    } else if let Some(report) = &member.report
        && !report.ready
    {
        problems.push(problem(
            format!("{slot} says that it is not ready, it is {}", report.role),
            "look at its own status or log",
        ));
    }
    if member.equal == Some(false) {
        let at = member.compared_at.unwrap_or_default();
        problems.push(problem(
            format!("the data of {slot} differs from that of this node at position {at}"),
            "this must never be: please report it; a restart of that member makes it copy the data anew",
        ));
    }
    let left = member.report.as_ref().and_then(|report| report.certificate_expires_in_s);
    problems.extend(certificate(&format!("the certificate of {slot}"), left));
    problems
}

fn link_advice(why: &str) -> &'static str {
    let named = |name: &str| why.contains(name);
    if let Some(advice) = REASONS.iter().find(|(reason, _, _)| named(reason)).map(|(_, _, advice)| *advice) {
        advice
    } else if named("refused") || named("Refused") {
        "nothing listens there: is that member running, and is its port right in HA_HOSTS?"
    } else if named("resolve") || named("lookup") || named("not known") || named("DNS") {
        "its name leads nowhere: look at DNS and HA_HOSTS"
    } else if named("certificate") || named("TLS") {
        "look at CACHE_TLS_CA_SERVER here and at the certificate there"
    } else {
        "is that member running, and does the network (a NetworkPolicy, a firewall) let this node reach it?"
    }
}

fn certificate(whose: &str, expires_in_s: Option<i64>) -> Option<Problem> {
    let advice = "renew it; a changed file is read again without a restart";
    match expires_in_s {
        Some(left) if left < 0 => Some(problem(
            format!("{whose} expired {} ago", span(left.unsigned_abs())),
            "renew it: no new connection is made with it; a changed file is read again without a restart",
        )),
        Some(left) if left < EXPIRES_SOON_S => {
            Some(problem(format!("{whose} expires in {}", span(left.unsigned_abs())), advice))
        }
        _ => None,
    }
}

fn refused(refusal: &RefusalView) -> Problem {
    let RefusalView { from, claimed, reason, age_s, count } = refusal;
    let claimed = claimed.as_deref().map(|c| format!(", which says it is {c},")).unwrap_or_default();
    let times = if *count == 1 { "once".into() } else { format!("{count} times") };
    let known = REASONS.iter().find(|(name, _, _)| name == reason);
    let meaning = known.map_or(reason.as_str(), |(_, meaning, _)| *meaning);
    problem(
        format!("{from}{claimed} is refused: {meaning} ({reason}, {times}, last {} ago)", span(*age_s)),
        known.map_or("", |(_, _, advice)| *advice),
    )
}

/// Reasons of refusals as `mesh.proto` and the metrics name them, what they mean and what to do.
const REASONS: &[(&str, &str, &str)] = &[
    ("WRONG_TOKEN", "it has another token", "give all members the same CACHE_AUTH_TOKEN"),
    (
        "WRONG_CLUSTER",
        "it belongs to another cluster",
        "its CACHE_CLUSTER_NAME differs, or its HA_HOSTS leads to the wrong cluster",
    ),
    ("UNKNOWN_SLOT", "it is not in HA_HOSTS here", "give all members the same list"),
    ("WRONG_SLOT", "it wanted to reach another member", "its HA_HOSTS or its DNS leads to the wrong address"),
    ("DUPLICATE_SLOT", "another living process is this member already", "stop one of them"),
    ("WRONG_VERSION", "it speaks another version of the protocol", "update the older one"),
    (
        "TOO_MANY",
        "too many at a time come from there",
        "is something scanning this port, or a proxy in between?",
    ),
    ("TIMEOUT", "it connected and said nothing", "is something else calling this port?"),
    ("MALFORMED", "it speaks another protocol", "is something else calling this port?"),
    (
        "TLS",
        "no TLS could be agreed on",
        "its certificate is not signed by CACHE_TLS_CA_CLIENT, or it speaks no TLS at all",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rauthy_client::{MemberStatus, NodeStatus, Refusal, Role};
    use rauthy_proto::cache::Report;

    fn well() -> NodeStatus {
        let member = |slot: &str, me| MemberStatus {
            slot: slot.into(),
            me,
            connected: true,
            caught_up: true,
            lag: Some(0),
            report: (!me).then(|| Report { ready: true, ..Report::default() }),
            ..MemberStatus::default()
        };
        NodeStatus {
            slot: "a:1".into(),
            role: Role::Leader.into(),
            leader: "a:1".into(),
            ready: true,
            members: vec![member("a:1", true), member("b:1", false), member("c:1", false)],
            certificate_expires_in_s: 90 * 86_400,
            ..NodeStatus::default()
        }
    }

    fn judged(change: impl FnOnce(&mut NodeStatus)) -> Verdict {
        let mut node = well();
        change(&mut node);
        verdict(&NodeView::from(&node))
    }

    #[test]
    fn nothing_is_wrong() {
        let all = judged(|_| {});
        assert_eq!((all.health, all.problems.len()), (Health::Good, 0));
        assert_eq!(all.summary, "All is well: this node leads, 3 of 3 members connected");
        let alone = judged(|n| n.members.truncate(1));
        assert_eq!(alone.summary, "All is well: a single node, which serves alone");
    }

    #[test]
    fn each_problem_is_said_with_what_to_do() {
        type Problem<'a> = (&'a dyn Fn(&mut NodeStatus), &'a str, &'a str);
        let table: [Problem<'_>; 12] = [
            (
                &|n| (n.members[1].connected, n.members[1].link_error) = (false, "Connection refused".into()),
                "b:1 is not connected (Connection refused)",
                "is that member running",
            ),
            (
                &|n| {
                    (n.members[1].connected, n.members[1].link_error) = (false, "WRONG_TOKEN: another".into())
                },
                "b:1 is not connected",
                "same CACHE_AUTH_TOKEN",
            ),
            (
                &|n| (n.members[1].connected, n.members[1].link_error) = (false, "cannot resolve".into()),
                "b:1 is not connected",
                "DNS",
            ),
            (
                &|n| (n.members[2].caught_up, n.members[2].lag) = (false, Some(40)),
                "c:1 is 40 entries behind",
                "by itself",
            ),
            (&|n| n.members[2].caught_up = false, "c:1 is silent or catching up", "by itself"),
            (
                &|n| n.members[2].report = Some(Report { role: 2, ready: false, ..Report::default() }),
                "c:1 says that it is not ready, it is learner",
                "log",
            ),
            (
                &|n| (n.members[1].compared_at, n.members[1].equal) = (Some(4096), false),
                "the data of b:1 differs from that of this node at position 4096",
                "report it",
            ),
            (&|n| n.certificate_expires_in_s = 86_400 + 7200, "this node expires in 1 day 2 h", "renew"),
            (&|n| n.certificate_expires_in_s = -90, "this node expired 1 min 30 s ago", "renew"),
            (
                &|n| {
                    let report = Report { ready: true, certificate_expires_in_s: 3600, ..Report::default() };
                    n.members[1].report = Some(report);
                },
                "the certificate of b:1 expires in 1 h 0 min",
                "renew",
            ),
            (
                &|n| {
                    n.refusals = vec![Refusal {
                        from: "10.0.0.9:4000".into(),
                        claimed: "d:1".into(),
                        reason: "WRONG_TOKEN".into(),
                        age_s: 3,
                        count: 12,
                    }];
                },
                "10.0.0.9:4000, which says it is d:1, is refused: it has another token (WRONG_TOKEN, 12 times, last 3 s ago)",
                "same CACHE_AUTH_TOKEN",
            ),
            (
                &|n| {
                    n.refusals = vec![Refusal {
                        from: "x".into(),
                        reason: "NEW".into(),
                        count: 1,
                        ..Refusal::default()
                    }]
                },
                "x is refused: NEW (NEW, once, last 0 s ago)",
                "",
            ),
        ];
        for (change, what, advice) in table {
            let Verdict { health, summary, problems } = judged(change);
            assert_eq!((health, problems.len()), (Health::Poor, 1), "{what}: {problems:?}");
            assert_eq!(summary, "This node serves, this node leads; one thing needs attention");
            assert!(problems[0].what.contains(what), "{:?}", problems[0]);
            assert!(problems[0].advice.as_deref().unwrap_or_default().contains(advice), "{:?}", problems[0]);
        }
    }

    #[test]
    fn a_node_that_serves_nothing_says_so_first() {
        let table: [(&str, bool, &str, &str); 4] = [
            ("it has just begun", true, "this node is starting", "wait"),
            (
                "no quorum: no lease",
                false,
                "1 of 3 members see each other here, 2 are needed",
                "missing members",
            ),
            ("it waits for a quorum", true, "no leader for this node yet", "logs"),
            ("this agent is stopping", true, "this node is stopping", ""),
        ];
        for (reason, connected, what, advice) in table {
            let judged = judged(|n| {
                (n.ready, n.not_ready_reason) = (false, reason.into());
                n.members[1..].iter_mut().for_each(|m| m.connected = connected);
            });
            assert_eq!(judged.health, Health::Bad);
            assert_eq!(judged.summary, format!("a:1 is not ready ({reason})"));
            assert!(judged.problems[0].what.contains(what), "{:?}", judged.problems[0]);
            assert!(judged.problems[0].advice.as_deref().unwrap_or_default().contains(advice));
        }
    }
}
