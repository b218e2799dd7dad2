//! From one certificate to another without a refused link: trust both, switch, drop the old. Pure.
//!
//! ```text
//!            target's authorities              all members               all members
//!            not in the bundle                 accept them               show the new one
//!   rest ──────────────────────▶ trusting ──────────────────▶ dropping ──────────────────▶ rest
//!    └──────────────────────────── the same authorities, a new certificate ─────────────────┘
//! ```
//!
//! The stage is not kept anywhere: it follows from what the Secret `<name>-tls` holds (a certificate, and the bundle
//! of authorities that members accept) and from the target. So it is the same for a new authority of the cluster's own,
//! for a user's Secret that changed, and for the way from one to the other; and an operator may be killed anywhere.

use super::members::Members;
use super::x509::Authority;

/// Most authorities that members are told to accept: more only come together where nobody confirms anything.
pub const MOST: usize = 16;

/// Everything that a step is decided by.
#[derive(Clone, Copy, Debug)]
pub struct State<'s> {
    /// Authorities that members are told to accept.
    pub bundle: &'s [Authority],
    /// Those that vouch for the target.
    pub target: &'s [Authority],
    /// Name of the certificate that members are told to show.
    pub shown: &'s str,
    /// It is the target's.
    pub switched: bool,
    /// There is none, or none that any member would accept: nothing is lost by replacing it.
    pub useless: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Rest,
    /// To write another bundle, with the certificate that there is.
    Accept(Vec<Authority>),
    /// To write the target's certificate, with this bundle.
    Switch(Vec<Authority>),
    /// To wait for these members.
    Wait(Stage, Vec<String>),
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Members have yet to accept the new authorities.
    Trusting,
    /// Members have yet to show the new certificate.
    Dropping,
}

/// The next move.
#[must_use]
pub fn next(state: &State<'_>, members: &Members) -> Move {
    let State { bundle, target, shown, switched, useless } = *state;
    let holds = |all: &[Authority], one: &Authority| all.iter().any(|known| known.name == one.name);
    let both = || {
        let mut both = target.to_vec();
        both.extend(bundle.iter().filter(|known| !holds(target, known)).cloned());
        both
    };
    if useless {
        // Members that still show a predecessor stay trusted.
        let mut both = both();
        both.truncate(MOST.max(target.len()));
        return Move::Switch(both);
    }
    let announced = target.iter().all(|one| holds(bundle, one));
    let sure = |said: &rauthy_proto::cache::Credentials| {
        target.iter().all(|one| said.authorities.contains(&one.name))
    };
    if !announced {
        let both = both();
        if both.len() > MOST {
            return Move::Wait(Stage::Dropping, members.missing(|_| false));
        }
        return Move::Accept(both);
    }
    let nothing_else = bundle.iter().all(|known| holds(target, known));
    if !switched {
        // Where nothing else is accepted, everybody has confirmed the target's before.
        let missing = if nothing_else { Vec::new() } else { members.missing(sure) };
        return if missing.is_empty() {
            Move::Switch(bundle.to_vec())
        } else {
            Move::Wait(Stage::Trusting, missing)
        };
    }
    if nothing_else {
        return Move::Rest;
    }
    let missing = members.missing(|said| said.certificate == shown && sure(said));
    if missing.is_empty() { Move::Accept(target.to_vec()) } else { Move::Wait(Stage::Dropping, missing) }
}
