//! Where the token comes from, and what the Secret that pods mount holds of it now; [`tokens`] says what comes next.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::renew::{self, Kind, Request};
use super::{Decision, kept, steps, tokens, write};
use crate::names::{RENEWED, STEPPED};
use crate::reconcile::build::BuildError;
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::Validated;

/// What the Secret of the token shall hold.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn decide(
    cluster: &Validated,
    observed: &Observed,
    request: Option<&Request>,
    now: Timestamp,
    decision: &mut Decision,
) -> Result<(), BuildError> {
    let named = cluster.spec.auth.as_ref().and_then(|auth| auth.token_secret_name.as_ref());
    let given = observed.given_token.as_ref().and_then(tokens::given);
    let name = cluster.names.token();
    let progress = &mut decision.progress;
    if observed.kept_token.is_some() {
        progress.steps.push((
            steps::TOKEN_RESTORED,
            format!(
                "somebody deleted or edited the Secret `{name}`; the token that the members use is back in it"
            ),
        ));
    }
    let Some(secret) = observed.kept_token.as_ref().or(observed.token.as_ref()) else {
        let first = match given.filter(|_| named.is_some()) {
            Some(given) => given,
            None => tokens::generate()?,
        };
        let cut_off = cluster.members.names();
        if !cut_off.is_empty() {
            let text = format!(
                "the Secret `{name}` was deleted, and nobody knows the token any more: there is another one. Until {} \
                 have read it, which takes a minute at most, members that have refuse new links of those that have not",
                cut_off.join(", ")
            );
            progress.steps.push((steps::TOKEN_LOST, text));
        }
        decision.token = Some(write(cluster, name, "Opaque", tokens::data(&[first]), BTreeMap::new()));
        return Ok(());
    };
    let present = tokens::read(secret).unwrap_or_default();
    let unchanged = || secret.data.clone().unwrap_or_default();
    if cluster.embedded() {
        // A variable of the application, read at its start: two at a time are none.
        let other = given
            .as_ref()
            .is_some_and(|given| tokens::ids(&present) != tokens::ids(std::slice::from_ref(given)));
        if renew::wanted(request, Kind::Token, secret).is_some() || other {
            progress.token = Some(
                "with cache.engine Embedded members read the token at their start, and cannot accept two; the token in use \
                 stays. Create a new RauthyCluster for another one"
                    .to_owned(),
            );
        }
        let kept = kept(secret, request, Kind::Token);
        decision.token = Some(write(cluster, name, "Opaque", unchanged(), kept));
        return Ok(());
    }
    if let Some(named) = named
        && given.is_none()
    {
        let what = if observed.given_token.is_some() {
            "must have the key `token` with one token of at least 16 characters without blanks"
        } else {
            "does not exist"
        };
        progress.token =
            Some(format!("the Secret `{named}` of spec.auth.tokenSecretName {what}; the token in use stays"));
    }
    let renewing = renew::wanted(request, Kind::Token, secret);
    if let (Some(named), Some(_)) = (named, renewing) {
        progress.request =
            Some(format!("rauthy.dev/renew: the token is yours; put another one into the Secret `{named}`"));
    }
    let renews = renewing.is_some() && named.is_none();
    let given = given.filter(|_| named.is_some());
    let mut annotations = kept(secret, request, Kind::Token);
    let data = match tokens::next(&present, given.as_ref(), renews, &cluster.members)? {
        tokens::Move::Rest => unchanged(),
        tokens::Move::Wait(who) => {
            progress.waiting.push(format!("{} to accept the new token", who.join(", ")));
            unchanged()
        }
        tokens::Move::Write(all) => {
            if let Some(done) = renewing.filter(|_| renews && all.len() > present.len()) {
                annotations.insert(RENEWED.to_owned(), done.to_owned());
            }
            annotations.insert(STEPPED.to_owned(), now.as_second().to_string());
            progress.steps.push(if all.len() > 1 {
                (
                    steps::TOKEN_ADDED,
                    "members are told a new token; the old one is accepted beside it".to_owned(),
                )
            } else {
                (
                    steps::TOKEN_DROPPED,
                    "every member accepts the new token; the old one is dropped".to_owned(),
                )
            });
            tokens::data(&all)
        }
    };
    decision.token = Some(write(cluster, name, "Opaque", data, annotations));
    Ok(())
}
