//! The sequential object: what one key of the cache does when its operations come one after another.
//!
//! ```text
//! State ─┬─ held   None, or { what, version: Known(index) | Above(index), window }
//!        └─ floor  the highest log index that is known to have been applied
//! ```
//!
//! Log entries are applied in the order of their indices, so an operation whose index is known must come above the
//! floor. A write whose index nobody was told has a version above the floor that it found; the first that reads the
//! value together with a version tells which one it was, and the state remembers that.

use crate::history::{Condition, Window};

/// A value, by a number: equal values have equal numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum What {
    Number(i64),
    Bytes(u32),
    /// Any that nobody ever read: which one it is makes no difference.
    Unseen,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Version {
    Known(u64),
    /// Not told yet, above this.
    Above(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Held {
    pub(crate) what: What,
    pub(crate) version: Version,
    pub(crate) window: Option<Window>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct State {
    pub(crate) held: Option<Held>,
    pub(crate) floor: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    Read,
    Put { what: What, condition: Condition, window: Option<Window> },
    Remove,
    Increment { by: i64, window: Option<Window> },
}

/// What the answer says of the state before the operation, or in case of `Number` after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Expect {
    Nothing,
    Existed(bool),
    Seen { what: What, version: Option<u64> },
    Number(i64),
    ConditionFailed { version: Option<u64> },
    NotANumber,
}

/// An operation as the search sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) expect: Expect,
    /// Index of its log entry, if told.
    pub(crate) index: Option<u64>,
}

impl State {
    /// Whether the value that stands there may vanish by itself at `now`.
    pub(crate) fn may_expire(&self, now: u64) -> bool {
        self.held.and_then(|held| held.window).is_some_and(|window| window.earliest <= now)
    }

    /// When the value that stands there must be gone at the latest.
    pub(crate) fn latest(&self) -> Option<u64> {
        self.held.and_then(|held| held.window).map(|window| window.latest)
    }

    pub(crate) fn emptied(mut self) -> Self {
        self.held = None;
        self
    }

    /// The state if the value that stands there has this version, `None` if it has not.
    fn with_version(mut self, version: u64) -> Option<Self> {
        let held = self.held.as_mut()?;
        match held.version {
            Version::Known(known) => (known == version).then_some(self),
            Version::Above(above) => {
                // An index above the one it found is already in: then the version lies between the two.
                let fits = version > above && (self.floor <= above || version < self.floor);
                held.version = Version::Known(version);
                self.floor = self.floor.max(version);
                fits.then_some(self)
            }
        }
    }

    fn with_some_version(self, version: Option<u64>) -> Option<Self> {
        match version {
            Some(version) => self.with_version(version),
            None => self.held.is_some().then_some(self),
        }
    }
}

impl Step {
    /// Whether it leaves the state alone wherever it is placed, because its answer says that it did.
    pub(crate) fn is_passive(&self) -> bool {
        match self.kind {
            Kind::Read => true,
            Kind::Remove => self.expect == Expect::Existed(false),
            Kind::Put { .. } => matches!(self.expect, Expect::ConditionFailed { .. }),
            Kind::Increment { .. } => self.expect == Expect::NotANumber,
        }
    }

    /// Whether it can take place in any state, with the same state as its result.
    pub(crate) fn is_blind(&self) -> bool {
        self.expect == Expect::Nothing
            && matches!(self.kind, Kind::Put { condition: Condition::Always, .. } | Kind::Remove)
    }

    /// Whether all it wants is that there is a value, whichever, and it leaves nothing of that.
    pub(crate) fn needs_any(&self) -> bool {
        self.expect == Expect::Existed(true)
            && matches!(self.kind, Kind::Put { condition: Condition::Always, .. } | Kind::Remove)
    }

    /// When a value that it writes must be gone.
    pub(crate) fn latest(&self) -> Option<u64> {
        match self.kind {
            Kind::Put { window, .. } | Kind::Increment { window, .. } => window.map(|window| window.latest),
            Kind::Read | Kind::Remove => None,
        }
    }

    /// The state after this operation, or `None` if it cannot take place at `now` in this state with this answer.
    pub(crate) fn apply(&self, state: State, now: u64) -> Option<State> {
        let mut state = match self.kind {
            Kind::Read => self.observe(state)?,
            Kind::Remove => self.observe(state)?.emptied(),
            Kind::Put { what, condition, window } => self.put(state, what, condition, window, now)?,
            Kind::Increment { by, window } => self.increment(state, by, window, now)?,
        };
        if let Some(index) = self.index {
            // Also above the version that the answer told, if that was new.
            if index <= state.floor {
                return None;
            }
            state.floor = index;
        }
        Some(state)
    }

    fn observe(&self, state: State) -> Option<State> {
        match self.expect {
            Expect::Nothing => Some(state),
            Expect::Existed(existed) => (state.held.is_some() == existed).then_some(state),
            Expect::Seen { what, version } => {
                state.held.filter(|held| held.what == what)?;
                state.with_some_version(version)
            }
            Expect::Number(_) | Expect::ConditionFailed { .. } | Expect::NotANumber => None,
        }
    }

    fn put(
        &self,
        state: State,
        what: What,
        condition: Condition,
        window: Option<Window>,
        now: u64,
    ) -> Option<State> {
        if let Expect::ConditionFailed { version } = self.expect {
            return match (condition, state.held) {
                (Condition::Always, _) | (Condition::IfAbsent, None) => None,
                (Condition::IfAbsent, Some(_)) => state.with_some_version(version),
                (Condition::IfVersion(_), None) => {
                    version.is_none_or(|version| version == 0).then_some(state)
                }
                (Condition::IfVersion(wanted), Some(held)) => {
                    let differs = held.version != Version::Known(wanted) && version != Some(wanted);
                    state.with_some_version(version).filter(|_| differs)
                }
            };
        }
        let state = self.observe(state)?;
        let state = match condition {
            Condition::Always => state,
            Condition::IfAbsent => state.held.is_none().then_some(state)?,
            Condition::IfVersion(wanted) => state.with_version(wanted)?,
        };
        Some(self.write(state, what, window, now))
    }

    fn increment(&self, state: State, by: i64, window: Option<Window>, now: u64) -> Option<State> {
        let (sum, window) = match state.held {
            None => (Some(by), window),
            Some(Held { what: What::Number(number), window, .. }) => (number.checked_add(by), window),
            Some(held) => (None, held.window),
        };
        match self.expect {
            Expect::NotANumber => sum.is_none().then_some(state),
            Expect::Number(number) if sum != Some(number) => None,
            _ => sum.map(|sum| self.write(state, What::Number(sum), window, now)),
        }
    }

    /// A value that must be gone by now stands for no moment, but it has taken the place of what was there.
    fn write(&self, mut state: State, what: What, window: Option<Window>, now: u64) -> State {
        let version = self.index.map_or(Version::Above(state.floor), Version::Known);
        let held = Held { what, version, window };
        state.held = window.is_none_or(|window| now <= window.latest).then_some(held);
        state
    }
}
