//! The unknown writes of a segment, those with the same effect together.
//!
//! ```text
//! Class { step, members by call, read_until, family }
//! ```
//!
//! From the call of one on it makes no difference which of those that were called is used, so only how many were is
//! kept, and they count as used in the order of their calls. A family is the classes that differ in the value only: as
//! soon as nobody is left whose answer tells these values apart, they are alike as well.

use std::collections::HashMap;

use crate::model::{Expect, Kind, Step, What};
use crate::segment::Placed;

pub(crate) struct Class {
    pub(crate) step: Step,
    pub(crate) members: Vec<Placed>,
    /// When the last one who reads its value has the answer; 0 if nobody does, `u64::MAX` if it can always matter.
    pub(crate) read_until: u64,
    /// The first class of its family.
    pub(crate) family: u32,
}

impl Class {
    /// How many were called by this time.
    pub(crate) fn called(&self, time: u64) -> usize {
        self.members.partition_point(|member| member.call <= time)
    }

    /// Whether at this time nobody who reads its value is left: then the value makes no difference any more.
    pub(crate) fn faded(&self, time: u64) -> bool {
        self.read_until < time
    }
}

/// `answered`: each with the time of its answer; `unknown`: by call.
pub(crate) fn classes<'b>(
    answered: impl Iterator<Item = (&'b Step, u64)>,
    unknown: Vec<(Step, Placed)>,
) -> Vec<Class> {
    let readers = Readers::new(answered, &unknown);
    let mut by_step: HashMap<Step, usize> = HashMap::new();
    let mut families: HashMap<(Step, Option<What>), u32> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    for (mut step, member) in unknown {
        let (mut family, mut read_until) = ((step, None), u64::MAX);
        if let Kind::Put { what, condition, window } = step.kind {
            read_until = readers.until(what);
            // Where somebody increments a number is never like some bytes.
            let like = match what {
                What::Number(_) if readers.increments => What::Number(0),
                _ => What::Unseen,
            };
            family.0.kind = Kind::Put { what: like, condition, window };
            family.1 = (read_until == u64::MAX).then_some(what);
            if read_until == 0 && like == What::Unseen {
                step = family.0;
            }
        }
        let at = *by_step.entry(step).or_insert(classes.len());
        if let Some(class) = classes.get_mut(at) {
            class.members.push(member);
            continue;
        }
        let family = *families.entry(family).or_insert(at as u32);
        classes.push(Class { step, members: vec![member], read_until, family });
    }
    classes
}

/// Whose answers tell values apart, and when they have them.
struct Readers {
    increments: bool,
    bytes: HashMap<u32, u64>,
    /// The numbers that somebody found, by number.
    numbers: Vec<(i64, u64)>,
    /// What unknown increments can add to a number before it is found.
    sums: (i128, i128),
    /// Numbers beyond these may become too big or too small to be incremented.
    safe: (i128, i128),
}

impl Readers {
    fn new<'b>(answered: impl Iterator<Item = (&'b Step, u64)>, unknown: &[(Step, Placed)]) -> Self {
        let (mut bytes, mut numbers) = (HashMap::new(), Vec::new());
        let (mut increments, mut least, mut most) = (false, 0, 0);
        let (mut sums, mut read) = ((0, 0), Vec::new());
        let mut increment = |by: i64| {
            increments = true;
            least = least.min(i128::from(by));
            most = most.max(i128::from(by));
        };
        for (step, ret) in answered {
            if let Kind::Increment { by, .. } = step.kind {
                increment(by);
            }
            read.extend(step.found().map(|what| (what, ret)));
        }
        for (step, _) in unknown {
            if let Kind::Increment { by, .. } = step.kind {
                increment(by);
                sums = (sums.0 + i128::from(by.min(0)), sums.1 + i128::from(by.max(0)));
            }
        }
        for (what, ret) in read {
            match what {
                What::Number(number) => numbers.push((number, ret)),
                What::Bytes(number) => {
                    let until = bytes.entry(number).or_insert(ret);
                    *until = ret.max(*until);
                }
                What::Unseen => {}
            }
        }
        numbers.sort_unstable();
        let safe = (i128::from(i64::MIN) - sums.0 - least, i128::from(i64::MAX) - sums.1 - most);
        Self { increments, bytes, numbers, sums, safe }
    }

    /// When the last of them has its answer who can tell this value from others; 0: nobody, `u64::MAX`: always.
    fn until(&self, what: What) -> u64 {
        let last = match what {
            What::Unseen => None,
            What::Bytes(number) => self.bytes.get(&number).copied(),
            What::Number(number) => {
                let number = i128::from(number);
                if self.increments && !(self.safe.0..=self.safe.1).contains(&number) {
                    return u64::MAX;
                }
                let from =
                    self.numbers.partition_point(|(found, _)| i128::from(*found) < number + self.sums.0);
                let found = self.numbers[from..].iter();
                let found = found.take_while(|(found, _)| i128::from(*found) <= number + self.sums.1);
                found.map(|(_, ret)| *ret).max()
            }
        };
        // 0 is for nobody.
        last.map_or(0, |ret| ret.max(1))
    }
}

impl Step {
    /// The value that it found, as far as its answer tells which.
    pub(crate) fn found(&self) -> Option<What> {
        match (self.expect, self.kind) {
            (Expect::Seen { what, .. }, _) => Some(what),
            (Expect::Number(number), Kind::Increment { by, .. }) => number.checked_sub(by).map(What::Number),
            _ => None,
        }
    }
}
