//! The tokens of the clusters, as their pods use them, for as long as this process runs. A Secret that is deleted or edited is
//! put back as it was: pods hold the token, so that another one would cut them off from each other until each had read it.
//!
//! Only one operator acts at a time, and one that loses the Lease ends: so whatever differs from what this one has seen or
//! written, somebody else has put there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;

use super::tokens;
use crate::names::Names;

/// What is known.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<(String, String), Known>>);

#[derive(Clone)]
struct Known {
    /// Uid of the cluster.
    uid: String,
    /// The Secret as it was last seen.
    seen: Secret,
    /// As it was about to be written since; nobody knows whether it was.
    written: Option<Secret>,
}

fn key(names: &Names) -> (String, String) {
    (names.namespace.clone(), names.cluster.clone())
}

/// Names of the tokens in a Secret; none if they cannot be used.
fn holds(secret: &Secret) -> Option<Vec<String>> {
    tokens::read(secret).map(|tokens| tokens::ids(&tokens))
}

impl Kept {
    /// Looks at the Secret. What is to be put back, if somebody deleted or edited it.
    pub fn look(&self, names: &Names, uid: &str, secret: Option<&Secret>) -> Option<Secret> {
        let now = secret.and_then(holds);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key(names)).filter(|known| known.uid == uid) {
            let same = |one: &Secret| now.is_some() && holds(one) == now;
            if !same(&known.seen) && !known.written.as_ref().is_some_and(same) {
                return Some(known.seen.clone());
            }
        }
        if let Some(secret) = secret.filter(|_| now.is_some()) {
            all.insert(key(names), Known { uid: uid.to_owned(), seen: secret.clone(), written: None });
        }
        None
    }

    /// The Secret is about to be written.
    pub fn writing(&self, names: &Names, secret: &Secret) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(&key(names)) {
            known.written = Some(secret.clone());
        }
    }

    /// The cluster is gone.
    pub fn forget(&self, names: &Names) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(names));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::{ExposeSecret, SecretString};

    #[test]
    fn what_somebody_else_put_there_is_not_taken_for_our_own() {
        let (kept, names) = (Kept::default(), Names::new("idm", "rauthy"));
        let token = |name: &str| SecretString::from(format!("the-token-of-number-{name}"));
        let secret = |all: &[&str]| Secret {
            data: Some(tokens::data(&all.iter().map(|name| token(name)).collect::<Vec<_>>())),
            ..Secret::default()
        };
        let look = |secret: Option<&Secret>| {
            let back = tokens::read(&kept.look(&names, "uid-1", secret)?).unwrap();
            Some(back.iter().map(|token| token.expose_secret().to_owned()).collect::<Vec<_>>().join(" "))
        };
        let one = Some("the-token-of-number-1".to_owned());
        assert_eq!(look(None), None, "nothing is known");
        assert_eq!(look(Some(&secret(&["1"]))), None);
        assert_eq!(
            (look(None), look(Some(&secret(&["9"]))), look(Some(&Secret::default()))),
            (one.clone(), one.clone(), one.clone())
        );
        // Written, or perhaps not: both are right.
        kept.writing(&names, &secret(&["2", "1"]));
        assert_eq!(look(None), one, "it was never written");
        assert_eq!(look(Some(&secret(&["2", "1"]))), None);
        assert_eq!(
            look(Some(&secret(&["1"]))),
            Some("the-token-of-number-2 the-token-of-number-1".to_owned())
        );
        // Another cluster of the same name.
        assert_eq!(kept.look(&names, "uid-2", None), None);
        kept.forget(&names);
        assert_eq!(look(None), None);
    }
}
