//! What was measured, round by round, and what could not be.
//!
//! ```text
//! Key (section, case, system, metric) ─▶ Series: one value a round
//! ```

use std::collections::BTreeMap;

use rauthy_load::Measured;
use serde::Serialize;

/// What a value is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// Part of the report.
    pub section: &'static str,
    /// What was varied in it: `16` at a time, `5` members.
    pub case: String,
    /// Of which system.
    pub system: &'static str,
    /// What is counted, with its unit.
    pub metric: &'static str,
}

/// The values of all rounds, in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series(pub Vec<(usize, f64)>);

impl Series {
    fn sorted(&self) -> Vec<f64> {
        let mut values: Vec<_> = self.0.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median; of an even number the mean of the two in the middle. `None`: nothing was measured.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let high = *sorted.get(middle)?;
        let low = if sorted.len().is_multiple_of(2) { *sorted.get(middle.checked_sub(1)?)? } else { high };
        Some(f64::midpoint(low, high))
    }

    /// The least and the greatest.
    #[must_use]
    pub fn spread(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    /// This divided by another one, round by round: what changes from round to round changes both.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let of = |round| other.0.iter().find(|(r, _)| *r == round).map(|(_, value)| *value);
        let ratio = |(round, value): &(usize, f64)| Some((*round, value / of(*round).filter(|v| *v > 0.0)?));
        Self(self.0.iter().filter_map(ratio).collect())
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Results {
    series: BTreeMap<Key, Series>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

impl Results {
    /// One value.
    pub fn add(
        &mut self,
        round: usize,
        section: &'static str,
        case: impl ToString,
        system: &'static str,
        metric: &'static str,
        value: f64,
    ) {
        let key = Key { section, case: case.to_string(), system, metric };
        self.series.entry(key).or_default().0.push((round, value));
    }

    /// The points of a load.
    pub fn load(
        &mut self,
        round: usize,
        section: &'static str,
        case: impl ToString,
        system: &'static str,
        seen: &Measured,
    ) {
        let case = case.to_string();
        let mut add = |metric, value| self.add(round, section, &case, system, metric, value);
        add("per s", seen.rate());
        add("p50 µs", seen.p50);
        add("p90 µs", seen.p90);
        add("p99 µs", seen.p99);
        add("p99.9 µs", seen.p999);
        add("max µs", seen.max);
        add("failed", seen.failed as f64);
        if let Some(why) = &seen.why {
            self.notes.push(format!("{section}, {case}, {system}: {} failed, first: {why}", seen.failed));
        }
    }

    /// The values of a key; none: an empty series.
    #[must_use]
    pub fn get(
        &self,
        section: &'static str,
        case: &str,
        system: &'static str,
        metric: &'static str,
    ) -> Series {
        let key = Key { section, case: case.to_owned(), system, metric };
        self.series.get(&key).cloned().unwrap_or_default()
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Series)> {
        self.series.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        Series(values.iter().copied().enumerate().collect())
    }

    #[test]
    fn the_middle_and_the_ends() {
        assert_eq!(series(&[]).median(), None);
        assert_eq!(series(&[3.0]).median(), Some(3.0));
        assert_eq!(series(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(series(&[9.0, 1.0, 2.0, 4.0]).median(), Some(3.0));
        assert_eq!(series(&[9.0, 1.0, 2.0]).spread(), Some((1.0, 9.0)));
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let (a, mut b) = (series(&[10.0, 30.0, 50.0]), series(&[5.0, 10.0, 0.0]));
        assert_eq!(a.over(&b).0, vec![(0, 2.0), (1, 3.0)], "nothing is divided by nothing");
        b.0.remove(0);
        assert_eq!(a.over(&b).0, vec![(1, 3.0)], "a round that one of them lacks does not count");
    }
}
