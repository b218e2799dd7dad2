//! Does what [`super::step`] says.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use super::Step;
use crate::agents::{Access, AgentError, Agents};
use crate::failpoint;
use crate::reconcile::apply::ApplyError;
use crate::reconcile::events::Note;

/// How far it has come, and what to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    /// What was done, or is waited for.
    pub step: Step,
    /// For the events.
    pub notes: Vec<Note>,
}

/// Takes the step. Repeating it is harmless: a pod is known by its uid.
///
/// # Errors
/// The pod cannot be deleted.
pub async fn act(
    step: Step,
    client: &Client,
    namespace: &str,
    agents: &dyn Agents,
    access: Option<&Access>,
    pods: &[Pod],
) -> Result<Acted, ApplyError> {
    let mut notes = Vec::new();
    let step = match step {
        Step::Transfer { pod, uid } => {
            let place = pods.iter().find(|one| one.metadata.name.as_ref() == Some(&pod));
            let answer = match access.zip(place) {
                Some((access, place)) => agents.transfer(access, place).await,
                None => Ok(true),
            };
            failpoint::pass("roll-transferred").await;
            match answer {
                Ok(false) => Step::soon(format!("{pod} gave the leadership away and is replaced next")),
                Ok(true) => Step::soon(format!("waiting for {pod} to give the leadership away")),
                // An older agent: it gives the leadership away when it is told to end.
                Err(AgentError::Unable(_)) => Step::Replace { pod, uid, loses: None },
                Err(error) => {
                    Step::wait(format!("{pod} leads and does not give the leadership away: {error}"))
                }
            }
        }
        other => other,
    };
    if let Step::Replace { pod, uid, loses } = &step {
        failpoint::pass("roll-before-delete").await;
        delete(client, namespace, pod, uid).await?;
        failpoint::pass("roll-deleted").await;
        notes.push(match loses {
            None => Note {
                warning: false,
                reason: "Rolling",
                text: format!("{pod} runs an earlier template and is replaced"),
            },
            Some(loses) => Note {
                warning: true,
                reason: "RollingLosesCache",
                text: format!("{pod} runs an earlier template and is replaced, and {loses}"),
            },
        });
    }
    Ok(Acted { step, notes })
}

async fn delete(client: &Client, namespace: &str, pod: &str, uid: &str) -> Result<(), ApplyError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(pod, &params).await {
        Ok(_) => Ok(()),
        // It is gone already, and another one may have its name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(ApplyError { kind: "Pod".to_owned(), name: pod.to_owned(), error }),
    }
}
