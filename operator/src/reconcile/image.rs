//! Which image of the agent runs where the user names none. Pure. A running cluster keeps its image when the operator's
//! changes, for an upgrade of the operator restarts nothing; it takes the new one on the annotation `rauthy.dev/upgrade`.
//!
//! ```text
//! StatefulSet ── annotation agent-image    the image, so that one that somebody puts into the template is drift
//!             ├─ annotation upgrade        the request that was followed last
//!             └─ template: upgrade         the request that last changed the image: what makes pods outdated
//! ```

use kube::ResourceExt;

use super::dereference::Observed;
use super::pods;
use crate::crd::RauthyCluster;
use crate::names::{AGENT, IMAGE_IN_USE, RESTART, UPGRADE};

/// What the pods run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentImage {
    /// The image.
    pub image: String,
    /// The operator's, where it is another one and nobody chose.
    pub newer: Option<String>,
    /// The request for an upgrade that was followed last.
    pub asked: Option<String>,
    /// The request that last changed the image.
    pub taken: Option<String>,
}

/// The image of a cluster; `default` is the operator's. None where nobody knows any.
#[must_use]
pub fn choose(cluster: &RauthyCluster, observed: &Observed, default: Option<&String>) -> Option<AgentImage> {
    let set = observed.statefulset.as_ref();
    let asked = cluster.annotations().get(UPGRADE).cloned();
    let taken = carried(observed, UPGRADE);
    if let Some(image) = &cluster.spec.agent.image {
        return Some(AgentImage { image: image.clone(), newer: None, asked, taken });
    }
    let running = || {
        let pod = observed.pods.iter().find(|pod| !pods::ends(pod))?.spec.as_ref()?;
        let mut all = pod.containers.iter().chain(pod.init_containers.iter().flatten());
        all.find(|container| container.name == AGENT)?.image.clone()
    };
    let in_use = match set {
        Some(set) => set.annotations().get(IMAGE_IN_USE).cloned(),
        // A StatefulSet that was deleted without its pods.
        None => running(),
    };
    let Some(in_use) = in_use else {
        return Some(AgentImage { image: default?.clone(), newer: None, asked, taken });
    };
    let followed = set.and_then(|set| set.annotations().get(UPGRADE).cloned());
    let other = default.filter(|default| **default != in_use);
    match (other, &asked) {
        (Some(other), Some(_)) if set.is_some() && asked != followed => {
            Some(AgentImage { image: other.clone(), newer: None, taken: asked.clone(), asked })
        }
        (newer, _) => {
            Some(AgentImage { image: in_use, newer: newer.cloned(), asked: asked.or(followed), taken })
        }
    }
}

/// The request for a restart that the template carries. A request that is taken back restarts nothing.
#[must_use]
pub fn restart(cluster: &RauthyCluster, observed: &Observed) -> Option<String> {
    cluster.annotations().get(RESTART).cloned().or_else(|| carried(observed, RESTART))
}

/// What the template has, or the pods where there is no template any more.
fn carried(observed: &Observed, key: &str) -> Option<String> {
    match &observed.statefulset {
        Some(set) => set.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?.get(key).cloned(),
        None => observed.pods.iter().find(|pod| !pods::ends(pod))?.annotations().get(key).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cluster(annotations: Value, spec: Value) -> RauthyCluster {
        let object = json!({
            "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": spec,
            "metadata": { "name": "rauthy", "namespace": "idm", "annotations": annotations },
        });
        serde_json::from_value(object).unwrap()
    }

    /// What stands there after this choice.
    fn after(choice: &AgentImage) -> Observed {
        let set = json!({
            "metadata": { "annotations": { IMAGE_IN_USE: choice.image, UPGRADE: choice.asked } },
            "spec": {
                "selector": {}, "template": { "metadata": { "annotations": { UPGRADE: choice.taken } } },
            },
        });
        let mut set = set;
        for path in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
            set.pointer_mut(path).unwrap().as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        Observed { statefulset: Some(serde_json::from_value(set).unwrap()), ..Observed::default() }
    }

    #[test]
    fn a_new_default_is_taken_once_for_each_request_and_never_by_itself() {
        let (plain, old, new) = (cluster(json!({}), json!({})), "agent:1".to_owned(), "agent:2".to_owned());
        let first = choose(&plain, &Observed::default(), Some(&old)).unwrap();
        assert_eq!((first.image.as_str(), &first.newer, &first.taken), ("agent:1", &None, &None));
        let kept = choose(&plain, &after(&first), Some(&new)).unwrap();
        assert_eq!((kept.image.as_str(), kept.newer.as_ref()), ("agent:1", Some(&new)));

        let asked = cluster(json!({ UPGRADE: "now" }), json!({}));
        let taken = choose(&asked, &after(&kept), Some(&new)).unwrap();
        assert_eq!(
            (taken.image.as_str(), taken.taken.as_deref(), &taken.newer),
            ("agent:2", Some("now"), &None)
        );
        // The same request again, after the next upgrade of the operator.
        let third = "agent:3".to_owned();
        let again = choose(&asked, &after(&taken), Some(&third)).unwrap();
        assert_eq!((again.image.as_str(), again.newer.as_ref()), ("agent:2", Some(&third)));
        // Taken back, and asked anew.
        let back = choose(&plain, &after(&again), Some(&third)).unwrap();
        assert_eq!((back.image.as_str(), back.taken.as_deref()), ("agent:2", Some("now")));
        let anew = cluster(json!({ UPGRADE: "later" }), json!({}));
        assert_eq!(choose(&anew, &after(&back), Some(&third)).unwrap().image, "agent:3");
    }

    #[test]
    fn a_request_that_nothing_answers_changes_nothing_later() {
        let (image, next) = ("agent:1".to_owned(), "agent:2".to_owned());
        let asked = cluster(json!({ UPGRADE: "now" }), json!({}));
        // There is nothing newer, also not in a cluster that is just created.
        let first = choose(&asked, &Observed::default(), Some(&image)).unwrap();
        let second = choose(&asked, &after(&first), Some(&image)).unwrap();
        assert_eq!((&second.taken, second.asked.as_deref()), (&None, Some("now")));
        let third = choose(&asked, &after(&second), Some(&next)).unwrap();
        assert_eq!((third.image.as_str(), third.newer.as_ref()), ("agent:1", Some(&next)));
    }

    #[test]
    fn a_users_own_image_counts_and_an_orphaned_pod_says_what_runs() {
        let own = cluster(json!({ UPGRADE: "now" }), json!({ "agent": { "image": "mine:1" } }));
        let choice = choose(&own, &Observed::default(), Some(&"agent:2".to_owned())).unwrap();
        assert_eq!((choice.image.as_str(), choice.newer), ("mine:1", None));
        let plain = cluster(json!({}), json!({}));
        assert_eq!(choose(&plain, &Observed::default(), None), None);
        let pod = json!({
            "metadata": { "annotations": { UPGRADE: "before", RESTART: "r" } },
            "spec": { "containers": [{ "name": "agent", "image": "agent:1" }] },
        });
        let orphans = Observed { pods: vec![serde_json::from_value(pod).unwrap()], ..Observed::default() };
        let choice = choose(&plain, &orphans, Some(&"agent:2".to_owned())).unwrap();
        assert_eq!((choice.image.as_str(), choice.taken.as_deref()), ("agent:1", Some("before")));
        assert_eq!(restart(&plain, &orphans).as_deref(), Some("r"));
    }
}
