//! Makes kubelets look for a new host list, or for new certificates and tokens. A kubelet refreshes a mounted ConfigMap
//! or Secret when it syncs the pod, every minute or so; a changed annotation makes it sync at once (0.05 s instead of 50 to
//! 70 s). It may still have read the old version from its cache, so a pod is touched again, each time later, until its
//! agent says that it uses what is there now.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use rauthy_proto::cache::{Credentials, NodeStatus};
use sha2::{Digest, Sha256};

use super::apply::ApplyError;
use crate::agents::Report;
use crate::names::{TOUCHED, TOUCHED_CREDENTIALS};

/// First wait before a pod is touched again, in seconds; doubled by each further time.
const FIRST: i64 = 2;
/// Longest wait.
const LONGEST: i64 = 60;

/// A pod whose agent does not answer is touched this often: it may lack the very certificate that it would be asked by.
const BLINDLY: u32 = 8;

/// What a pod was last told: which version of the content, how often, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Touch {
    what: String,
    times: u32,
    at: i64,
}

impl Touch {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let touch = Self {
            what: parts.next()?.to_owned(),
            times: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(touch)
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.what, self.times, self.at)
    }

    /// The next one, if it is time for it.
    fn next(last: Option<Self>, what: &str, now: i64) -> Option<Self> {
        let what = what.to_owned();
        let Some(last) = last.filter(|last| last.what == what) else {
            return Some(Self { what, times: 1, at: now });
        };
        let wait = FIRST.saturating_mul(1 << last.times.saturating_sub(1).min(10)).min(LONGEST);
        (now >= last.at.saturating_add(wait)).then_some(Self {
            what,
            times: last.times.saturating_add(1),
            at: now,
        })
    }
}

/// What pods shall use.
#[derive(Clone, Copy, Debug)]
pub enum Want<'w> {
    /// The host list of this number.
    List(u64),
    /// These certificates and tokens, which were written at this time, in seconds since 1970.
    Credentials(&'w Credentials, i64),
}

impl Want<'_> {
    fn annotation(&self) -> &'static str {
        match self {
            Self::List(_) => TOUCHED,
            Self::Credentials(..) => TOUCHED_CREDENTIALS,
        }
    }

    fn what(&self) -> String {
        match self {
            Self::List(epoch) => epoch.to_string(),
            Self::Credentials(Credentials { certificate, authorities, tokens }, _) => {
                let text = [std::slice::from_ref(certificate), authorities.as_slice(), tokens.as_slice()]
                    .concat()
                    .join(" ");
                Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            }
        }
    }

    /// Whether an agent does not use it yet.
    fn lacks(&self, node: &NodeStatus) -> bool {
        match self {
            Self::List(epoch) => node.host_epoch < *epoch,
            Self::Credentials(wanted, _) => node.credentials.as_ref().is_some_and(|used| used != *wanted),
        }
    }
}

/// Which pods are to be touched, and with what: those whose agent uses something else. Pure.
fn due<'p>(pods: &'p [Pod], reports: &[Report], want: Want<'_>, now: i64) -> Vec<(&'p str, Touch)> {
    let what = want.what();
    let touches = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.as_deref()?;
        let last = pod.annotations().get(want.annotation()).and_then(|text| Touch::parse(text));
        let report = reports.iter().find(|report| report.pod == name)?;
        let behind = match (&report.answer, want) {
            (Ok(node), _) => want.lacks(node),
            // Only what was announced since it was last seen well, or written since it was made: an operator that starts
            // touches nobody for nothing.
            (Err(_), Want::Credentials(_, written)) => match &last {
                Some(last) => last.what != what || last.times < BLINDLY,
                None => pod.creation_timestamp().is_some_and(|made| made.0.as_second() < written),
            },
            (Err(_), Want::List(_)) => false,
        };
        Some((name, behind.then(|| Touch::next(last, &what, now))??))
    });
    touches.collect()
}

/// Touches the pods that do not use yet what they shall; `now` in seconds since 1970.
///
/// # Errors
/// The first pod that cannot be written; the next round goes on.
pub async fn touch(
    client: &Client,
    namespace: &str,
    pods: &[Pod],
    reports: &[Report],
    want: Want<'_>,
    now: i64,
) -> Result<(), ApplyError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for (name, touch) in due(pods, reports, want, now) {
        let patch = json!({ "metadata": { "annotations": { want.annotation(): touch.text() } } });
        match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            // It was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(ApplyError { kind: "Pod".to_owned(), name: name.to_owned(), error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_pod_is_touched_again_later_each_time_until_it_reads_the_list() {
        let pod = |touched: Option<&str>| -> Pod {
            let annotations = touched.map(|text| json!({ TOUCHED: text })).unwrap_or_default();
            serde_json::from_value(json!({ "metadata": { "name": "rauthy-0", "annotations": annotations } }))
                .unwrap()
        };
        let reads = |epoch| Report {
            pod: "rauthy-0".to_owned(),
            answer: Ok(NodeStatus { host_epoch: epoch, ..NodeStatus::default() }),
        };
        let next = |touched: Option<&str>, now| {
            due(&[pod(touched)], &[reads(1)], Want::List(2), now).first().map(|(_, touch)| touch.text())
        };
        assert_eq!(next(None, 100).as_deref(), Some("2.1.100"));
        assert_eq!(next(Some("2.1.100"), 101), None);
        assert_eq!(next(Some("2.1.100"), 102).as_deref(), Some("2.2.102"));
        assert_eq!(next(Some("2.2.102"), 105), None);
        assert_eq!(next(Some("2.30.100"), 159), None);
        assert_eq!(next(Some("2.30.100"), 160).as_deref(), Some("2.31.160"));
        assert_eq!(next(Some("1.7.100"), 101).as_deref(), Some("2.1.101"), "another list");
        assert_eq!(next(Some("nonsense"), 101).as_deref(), Some("2.1.101"));
        assert!(due(&[pod(None)], &[reads(2)], Want::List(2), 100).is_empty(), "it reads the list");
        assert!(due(&[pod(None)], &[], Want::List(2), 100).is_empty(), "nobody knows");
    }
    #[test]
    fn a_pod_that_cannot_be_asked_is_told_of_a_rotation_for_a_while() {
        let wanted = Credentials { certificate: "new".to_owned(), ..Credentials::default() };
        let written: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let want = Want::Credentials(&wanted, written.as_second());
        let what = want.what();
        let made = |at: &str, annotations: Value| -> Pod {
            serde_json::from_value(json!({ "metadata": {
                "name": "rauthy-0", "creationTimestamp": at, "annotations": annotations,
            } }))
            .unwrap()
        };
        let pod = |touched: String| made("2026-01-01T13:00:00Z", json!({ TOUCHED_CREDENTIALS: touched }));
        let answer = |answer| Report { pod: "rauthy-0".to_owned(), answer };
        let touched = |text: String, said: &Report| {
            !due(&[pod(text)], std::slice::from_ref(said), want, 10_000).is_empty()
        };
        let silent = answer(Err("no TLS".to_owned()));
        assert!(touched("older.3.100".to_owned(), &silent));
        assert!(touched(format!("{what}.7.100"), &silent));
        assert!(!touched(format!("{what}.8.100"), &silent), "for ever");
        // One that was never touched has read what there was when it was made.
        let first =
            |at: &str| !due(&[made(at, json!({}))], std::slice::from_ref(&silent), want, 10_000).is_empty();
        assert!(first("2026-01-01T11:59:59Z") && !first("2026-01-01T12:00:00Z"));
        let node = |credentials| answer(Ok(NodeStatus { credentials, ..NodeStatus::default() }));
        assert!(!touched(String::new(), &node(Some(wanted.clone()))), "it uses it");
        assert!(!touched(String::new(), &node(None)), "it is too old to say");
        assert!(touched(String::new(), &node(Some(Credentials::default()))));
    }
}
