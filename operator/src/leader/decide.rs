//! What to do about the Lease. Pure. Time is this process's own monotonic clock: the other replica's clock, which
//! wrote the times in the Lease, may be wrong.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no Lease.
    Create,
    /// It is free, or its holder is gone.
    Take,
    /// It is ours.
    Renew,
    /// Another holds it.
    Wait,
}

/// Since when the Lease has looked as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    since: Instant,
}

impl Sighting {
    /// The sighting after another look: the old one, if nothing has changed.
    #[must_use]
    pub fn update(old: Option<Self>, spec: Option<&LeaseSpec>, now: Instant) -> Self {
        let holder = spec.and_then(|spec| spec.holder_identity.clone());
        let renewed = spec.and_then(|spec| spec.renew_time.clone());
        match old {
            Some(old) if old.holder == holder && old.renewed == renewed => old,
            _ => Self { holder, renewed, since: now },
        }
    }
}

/// Decides for the candidate `id`; a holder that did not renew for `lease` is gone.
#[must_use]
pub fn decide(
    spec: Option<&LeaseSpec>,
    sighting: Option<&Sighting>,
    id: &str,
    now: Instant,
    lease: Duration,
) -> Decision {
    let Some(spec) = spec else { return Decision::Create };
    match spec.holder_identity.as_deref() {
        None | Some("") => Decision::Take,
        Some(holder) if holder == id => Decision::Renew,
        // The holder's own promise may be longer than ours.
        Some(_) => {
            let promised =
                spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
            let patience = lease.max(promised.unwrap_or_default());
            let gone = sighting.is_some_and(|seen| now.duration_since(seen.since) >= patience);
            if gone { Decision::Take } else { Decision::Wait }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const LEASE: Duration = Duration::from_secs(15);

    fn held_by(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_table() {
        let start = Instant::now();
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        let other = held_by("other", 1);
        let seen = Sighting::update(None, Some(&other), start);
        for (spec, sighting, at, expected) in [
            (None, None, 0, Decision::Create),
            (Some(held_by("", 1)), None, 0, Decision::Take),
            (Some(LeaseSpec::default()), None, 0, Decision::Take),
            (Some(held_by("me", 1)), None, 0, Decision::Renew),
            (Some(other.clone()), None, 100, Decision::Wait),
            (Some(other.clone()), Some(&seen), 14, Decision::Wait),
            (Some(other.clone()), Some(&seen), 15, Decision::Take),
            (
                Some(LeaseSpec { lease_duration_seconds: Some(60), ..other.clone() }),
                Some(&seen),
                59,
                Decision::Wait,
            ),
            (
                Some(LeaseSpec { lease_duration_seconds: Some(60), ..other.clone() }),
                Some(&seen),
                60,
                Decision::Take,
            ),
        ] {
            assert_eq!(
                decide(spec.as_ref(), sighting, "me", later(at), LEASE),
                expected,
                "{spec:?} at {at} s"
            );
        }
    }

    #[test]
    fn a_holder_that_renews_is_not_gone_however_wrong_its_clock_is() {
        let start = Instant::now();
        let mut sighting = None;
        for step in 0..20 {
            let now = start + Duration::from_secs(step * 10);
            // Its clock stands in the past.
            let spec = held_by("other", i64::try_from(step).unwrap());
            sighting = Some(Sighting::update(sighting, Some(&spec), now));
            assert_eq!(decide(Some(&spec), sighting.as_ref(), "me", now, LEASE), Decision::Wait);
        }
    }
}
