//! What is known of each change, kept in a file that is only ever added to: KEY, tab, OUTCOME, tab, BY. The last line of
//! a key counts. A key stands for a change in a function's text, so that edits elsewhere forget nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::list::Mutant;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A test failed.
    Caught,
    /// A test did not end in time.
    Timeout,
    /// Nobody noticed.
    Missed,
    /// It does not compile.
    Unviable,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Caught, Self::Timeout, Self::Missed, Self::Unviable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Timeout => "timeout",
            Self::Missed => "missed",
            Self::Unviable => "unviable",
        }
    }
}

/// What is known.
#[derive(Debug)]
pub(crate) struct State {
    known: BTreeMap<String, (Outcome, String)>,
    file: File,
}

impl State {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut known = BTreeMap::new();
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let mut fields = line.split('\t');
            let (key, outcome, by) = (fields.next(), fields.next(), fields.next());
            let outcome = Outcome::ALL.into_iter().find(|o| Some(o.name()) == outcome);
            if let (Some(key), Some(outcome), Some(by)) = (key, outcome, by) {
                known.insert(key.to_owned(), (outcome, by.to_owned()));
            }
        }
        Ok(Self { known, file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    pub(crate) fn outcome(&self, mutant: &Mutant) -> Option<Outcome> {
        self.known.get(&mutant.key).map(|(outcome, _)| *outcome)
    }

    pub(crate) fn record(&mut self, mutant: &Mutant, outcome: Outcome, by: &str) -> Result<()> {
        // One write for a line: several runs may share the file.
        self.file.write_all(format!("{}\t{}\t{by}\n", mutant.key, outcome.name()).as_bytes())?;
        self.known.insert(mutant.key.clone(), (outcome, by.to_owned()));
        Ok(())
    }

    /// Writes a table by file, and the list of what nobody noticed.
    pub(crate) fn summarize(&self, all: &[Mutant], summary: &Path, missed: &Path) -> Result<()> {
        let mut files: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
        let mut noticed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut list = String::new();
        for mutant in all {
            let counts = files.entry(mutant.file.trim_start_matches("agent/core/src/")).or_default();
            let Some((outcome, by)) = self.known.get(&mutant.key) else {
                counts[4] += 1;
                continue;
            };
            counts[*outcome as usize] += 1;
            match outcome {
                Outcome::Missed => writeln!(list, "{}", mutant.name)?,
                Outcome::Caught | Outcome::Timeout => *noticed.entry(by).or_default() += 1,
                Outcome::Unviable => {}
            }
        }
        let mut table = format!(
            "{:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
            "file", "mutants", "caught", "timeout", "missed", "unviable", "untried"
        );
        let mut total = [0; 5];
        for (file, counts) in &files {
            row(&mut table, file, counts);
            total.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        }
        row(&mut table, "all", &total);
        let viable = total[0] + total[1] + total[2];
        if viable > 0 {
            let percent = 100.0 * (total[0] + total[1]) as f64 / viable as f64;
            writeln!(table, "noticed: {percent:.1} % of those that were tried and compile")?;
        }
        for (by, n) in noticed {
            writeln!(table, "{n:>8} by {by}")?;
        }
        print!("{table}");
        fs::write(summary, table)?;
        fs::write(missed, list)?;
        Ok(())
    }
}

fn row(table: &mut String, file: &str, counts: &[usize; 5]) {
    let all: usize = counts.iter().sum();
    let [caught, timeout, missed, unviable, untried] = counts;
    // Infallible: a String takes everything.
    let _ = writeln!(table, "{file:<26}{all:>9}{caught:>9}{timeout:>9}{missed:>9}{unviable:>9}{untried:>9}");
}
