//! From results to `docs/bench/`.
//!
//! * [`goals`]: what is wanted, and whether it is so · [`tables`]: everything that was measured, in Markdown
//! * [`svg`]: bars and lines · [`machine`]: where it was measured, and with which versions

mod goals;
mod machine;
mod pictures;
mod svg;
mod tables;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::driver::Plan;
use crate::results::{Key, Results, Series};
pub use machine::Machine;

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    key: &'a Key,
    median: Option<f64>,
    /// Of every round.
    values: Vec<f64>,
}

#[derive(Serialize)]
struct File<'a> {
    machine: &'a Machine,
    rounds: usize,
    quick: bool,
    notes: &'a [String],
    results: Vec<Row<'a>>,
}

/// Writes README.md, results.json and the pictures into a folder.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, plan: &Plan, machine: &Machine, results: &Results) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let row = |(key, series): (_, &Series)| Row {
        key,
        median: series.median(),
        values: series.0.iter().map(|(_, value)| *value).collect(),
    };
    let file = File {
        machine,
        rounds: plan.rounds,
        quick: plan.quick,
        notes: &results.notes,
        results: results.iter().map(row).collect(),
    };
    fs::write(folder.join("results.json"), serde_json::to_string_pretty(&file)? + "\n")?;
    let mut names = Vec::new();
    for (name, picture) in pictures::all(results) {
        fs::write(folder.join(name), picture)?;
        names.push(name);
    }
    fs::write(folder.join("README.md"), tables::page(plan, machine, results, &names))?;
    Ok(())
}

/// The goals alone, for the terminal.
#[must_use]
pub fn summary(results: &Results) -> String {
    tables::goals(results)
}
