//! The checks that are kept: what must hold, what must break, and at which sizes.
//!
//! ```text
//! Check = name + the search + what is expected of it + whether `make test` has the time for it
//! ```

mod genesis;
mod lists;
mod seats;

use std::fmt;

use crate::lists::BadPlan;
use crate::search::{Goal, Limits, Model, Report, Verdict, Walks, can_always_finish, exhaust, walk};

/// What a check must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Nothing, in all that can happen.
    Holds,
    /// Nothing, in so many random walks.
    HoldsInWalks,
    /// A counterexample.
    Breaks,
    /// States from which there is no way to the end.
    Stuck,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::HoldsInWalks => "holds (walks)",
            Self::Breaks => "breaks",
            Self::Stuck => "gets stuck",
        })
    }
}

/// How much time it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Seconds and less than 1 GiB: part of `make test`.
    Small,
    /// Up to many minutes and some GiB: part of `make model` only.
    Full,
}

/// Parts of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Rules 1 and 2 with a fixed list.
    Genesis,
    /// Rule 3 without 3f.
    Lists,
    /// Rule 3f, and what may follow.
    TakenBack,
    /// Rules 1 and 4 inside a generation.
    Seats,
}

/// One search with its expected answer.
pub struct Check {
    /// What it is known by.
    pub name: String,
    /// Which part of the protocol it is about.
    pub topic: Topic,
    /// What it must find.
    pub expected: Expected,
    /// How long it takes.
    pub size: Size,
    search: Box<dyn Fn(Limits) -> Report + Send + Sync>,
}

/// What a check is about, when it runs, and what it must find.
type Head = (Topic, Size, Expected);

impl Check {
    fn everything<M: Model + Send + 'static>(head: Head, name: String, model: M) -> Self {
        Self::of(head, name, move |limits| exhaust(&model, limits))
    }

    fn finish<M: Goal + Send + 'static>(head: Head, name: String, model: M) -> Self {
        Self::of(head, format!("{name}, to the end"), move |limits| can_always_finish(&model, limits))
    }

    fn walks<M: Model + Send + 'static>(
        head: Head,
        name: String,
        model: M,
        (walks, steps): (u64, usize),
    ) -> Self {
        let walks = Walks { walks, steps, seed: 1 };
        Self::of(head, format!("{name}, {} walks", walks.walks), move |_| walk(&model, walks))
    }

    fn of(
        (topic, size, expected): Head,
        name: String,
        search: impl Fn(Limits) -> Report + Send + Sync + 'static,
    ) -> Self {
        Self { name, topic, expected, size, search: Box::new(search) }
    }

    /// Searches.
    #[must_use]
    pub fn run(&self, limits: Limits) -> Report {
        (self.search)(limits)
    }

    /// Whether a counterexample is expected.
    #[must_use]
    pub fn breaks(&self) -> bool {
        matches!(self.expected, Expected::Breaks | Expected::Stuck)
    }

    /// Whether that is what was expected.
    #[must_use]
    pub fn agrees(&self, report: &Report) -> bool {
        match self.expected {
            Expected::Holds => matches!(report.verdict, Verdict::Exhausted),
            Expected::HoldsInWalks => matches!(report.verdict, Verdict::Walked),
            Expected::Breaks => matches!(report.verdict, Verdict::Broken(_)),
            Expected::Stuck => matches!(report.verdict, Verdict::Stuck { .. }),
        }
    }
}

/// All of them.
///
/// # Errors
/// A plan in the tables cannot be read.
pub fn checks() -> Result<Vec<Check>, BadPlan> {
    let mut checks = genesis::checks();
    checks.extend(lists::checks()?);
    checks.extend(seats::checks());
    Ok(checks)
}
