//! `ctl digest`: do all members hold the same?

use std::time::Duration;

use rauthy_client::{Client, Error};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Outcome;
use super::paint::{Cell, Colour, Paint, columns};
use crate::view::NodeView;

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, PartialEq, Eq, Serialize)]
struct DigestView {
    /// This node.
    slot: String,
    applied: u64,
    /// At that position, in hex; absent while a copy is installed.
    digest: Option<String>,
    /// All of them together: "equal", "different" or "not_comparable".
    result: &'static str,
    replicas: Vec<Replica>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Replica {
    slot: String,
    /// "equal", "different" or "not_comparable".
    result: &'static str,
    /// Where it was compared.
    compared_at: Option<u64>,
    /// Why it is not comparable.
    why: Option<String>,
}

/// Asks until everybody is compared where this node was at first, or for as long as the client is patient.
pub(super) async fn run(
    client: &Client,
    patience: Duration,
    json: bool,
    colours: bool,
) -> Result<Outcome, Error> {
    let deadline = Instant::now() + patience;
    let mut first = None;
    loop {
        let node = NodeView::from(&client.status().await?);
        let wanted = *first.get_or_insert(node.applied);
        let open = node.members.iter().filter(|m| !m.me && m.connected && m.compared_at < Some(wanted));
        // A difference is final: it is said at once.
        let differs = node.members.iter().any(|m| m.equal == Some(false));
        if differs || open.count() == 0 || Instant::now() >= deadline {
            let view = view(&node);
            let outcome =
                if json { Outcome::json(&view) } else { Outcome::done(table(&view, Paint(colours))) };
            return Ok(if view.result == "different" { outcome.refused() } else { outcome });
        }
        sleep(INTERVAL).await;
    }
}

fn view(node: &NodeView) -> DigestView {
    let replicas: Vec<Replica> = node
        .members
        .iter()
        .filter(|m| !m.me)
        .map(|m| {
            let why = match (m.equal, m.connected, &m.report) {
                (Some(_), ..) => None,
                (_, false, _) => Some("it is not connected".into()),
                (_, _, None) => Some("it has not said anything yet".into()),
                (_, _, Some(report)) => {
                    Some(format!("it is at {}, this node at {}", report.applied, node.applied))
                }
            };
            let result = result([m.equal]);
            Replica { slot: m.slot.clone(), result, compared_at: m.compared_at, why }
        })
        .collect();
    DigestView {
        slot: node.slot.clone(),
        applied: node.applied,
        digest: node.digest.clone(),
        result: result(node.members.iter().filter(|m| !m.me).map(|m| m.equal)),
        replicas,
    }
}

/// A difference weighs more than what is not known, and that more than equality.
fn result(of: impl IntoIterator<Item = Option<bool>>) -> &'static str {
    let mut all = "equal";
    for one in of {
        match one {
            Some(true) => {}
            Some(false) => return "different",
            None => all = "not_comparable",
        }
    }
    all
}

fn table(view: &DigestView, paint: Paint) -> String {
    let (colour, words) = match view.result {
        "equal" if view.replicas.is_empty() => {
            (Colour::Good, "A single node: there is nobody to compare with")
        }
        "equal" => (Colour::Good, "All members hold the same data"),
        "different" => (
            Colour::Bad,
            "THE DATA DIFFERS. This must never be: please report it, with the logs of all members",
        ),
        _ => (Colour::Poor, "Not all members can be compared yet"),
    };
    let rows: Vec<[Cell; 3]> = view
        .replicas
        .iter()
        .map(|r| {
            let at = r.compared_at.map_or("-".into(), |at| at.to_string());
            let (colour, what) = match (r.result, &r.why) {
                ("equal", _) => (Colour::Good, "equal".into()),
                ("different", _) => (Colour::Bad, "DIFFERENT".into()),
                (_, why) => (Colour::Poor, format!("not comparable yet: {}", why.as_deref().unwrap_or("?"))),
            };
            [(None, r.slot.clone()), (None, at), (Some(colour), what)]
        })
        .collect();
    let digest = view.digest.as_deref().unwrap_or("none while a copy is installed");
    let mut out = format!(
        "{} {}\n\n{} at {}: {digest}\n",
        paint.text(colour, "●"),
        paint.text(Colour::Bold, words),
        view.slot,
        view.applied
    );
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&columns(paint, ["COMPARED WITH", "AT", "RESULT"], &rows));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rauthy_client::{MemberStatus, NodeStatus};

    fn shown(equal: [Option<bool>; 2]) -> DigestView {
        let member = |(n, equal): (usize, Option<bool>)| MemberStatus {
            slot: format!("{n}:1"),
            connected: true,
            compared_at: equal.map(|_| 4096),
            equal: equal == Some(true),
            ..MemberStatus::default()
        };
        let me = MemberStatus { slot: "me:1".into(), me: true, ..MemberStatus::default() };
        let members = [me].into_iter().chain(equal.into_iter().enumerate().map(member)).collect();
        view(&NodeView::from(&NodeStatus {
            slot: "me:1".into(),
            applied: 5000,
            members,
            ..NodeStatus::default()
        }))
    }

    #[test]
    fn a_difference_is_never_hidden() {
        for (equal, wanted, words) in [
            ([Some(true), Some(true)], "equal", "hold the same"),
            ([Some(true), None], "not_comparable", "Not all"),
            ([None, Some(false)], "different", "DIFFERS"),
            ([Some(false), Some(true)], "different", "DIFFERS"),
        ] {
            let view = shown(equal);
            assert_eq!(view.result, wanted, "{view:?}");
            let text = table(&view, Paint(false));
            assert!(text.contains(words), "{text}");
        }
        let text = table(&shown([Some(true), None]), Paint(false));
        assert!(text.contains("0:1            4096  equal\n"), "{text}");
        assert!(
            text.contains("1:1            -     not comparable yet: it has not said anything yet\n"),
            "{text}"
        );
    }
}
