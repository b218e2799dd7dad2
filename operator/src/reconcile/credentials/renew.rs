//! `rauthy.dev/renew`: the user's request to renew something now.
//!
//! The annotation is the user's: the operator does not write RauthyClusters. What was done stands beside what was
//! renewed, written in one go with it, so that nothing is done twice, whenever the operator is killed. The same again is
//! asked for by another text behind a colon, such as `ca:2`, or by removing the annotation first.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::names::RENEWED;

/// What can be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The members' certificate, by the same authority.
    Certificates,
    /// The authority, and then the certificate.
    Ca,
    /// The token.
    Token,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to renew.
    pub kind: Kind,
    /// The annotation as it stands.
    pub text: String,
}

/// Longest value, in bytes.
const LONGEST: usize = 100;

/// Reads the annotation.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub fn read(text: &str) -> Result<Request, String> {
    let kind = match text.split_once(':').map_or(text, |(kind, _)| kind) {
        "certificates" => Kind::Certificates,
        "ca" => Kind::Ca,
        "token" => Kind::Token,
        _ => return Err(wrong(text)),
    };
    if text.len() > LONGEST { Err(wrong(text)) } else { Ok(Request { kind, text: text.to_owned() }) }
}

fn wrong(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    format!(
        "the annotation rauthy.dev/renew is `{shown}`; allowed are certificates, ca and token, each with a text of your \
         own behind a colon to ask for it once more, such as ca:2 ({LONGEST} characters in all)"
    )
}

/// Whether this Secret's content is to be renewed: it is asked for, and not done yet.
#[must_use]
pub fn wanted<'r>(request: Option<&'r Request>, kind: Kind, secret: &Secret) -> Option<&'r str> {
    let request = request.filter(|request| request.kind == kind)?;
    (done(secret) != Some(&request.text)).then_some(request.text.as_str())
}

/// What was done by request, as the Secret says.
#[must_use]
pub fn done(secret: &Secret) -> Option<&String> {
    secret.annotations().get(RENEWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_nonsense_says_what_is_allowed() {
        for (text, kind) in [("ca", Kind::Ca), ("ca:2", Kind::Ca), ("token:again:1", Kind::Token)] {
            assert_eq!(read(text), Ok(Request { kind, text: text.to_owned() }));
        }
        assert_eq!(read("certificates").map(|request| request.kind), Ok(Kind::Certificates));
        for wrong in ["", "all", "CA", "cab", &"ca:".repeat(50)] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("certificates, ca and token"), "{error}");
        }
    }
}
