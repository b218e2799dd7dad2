//! The page: goals first, then all that was measured.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Machine;
use super::goals::{self, Goal, Want};
use crate::driver::Plan;
use crate::results::{Results, Series};
use crate::sections::name;

/// Three digits that count, and no more.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e5 => format!("{:.0}k", value / 1e3),
        v if v >= 1e4 => format!("{:.1}k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn with_spread(series: &Series) -> String {
    match (series.median(), series.spread()) {
        (Some(median), Some((least, greatest))) if series.0.len() > 1 => {
            format!("{} ({}–{})", number(median), number(least), number(greatest))
        }
        (Some(median), _) => number(median),
        (None, _) => "–".into(),
    }
}

/// The goals as a table.
#[must_use]
pub fn goals(results: &Results) -> String {
    let mut out = String::from("| what | goal | measured: median (least–greatest) | |\n|---|---|---|---|\n");
    for goal in goals::all(results) {
        let Goal { what, want, unit, series, .. } = &goal;
        let want = match want {
            Want::AtLeast(least) => format!("≥ {}", number(*least)),
            Want::AtMost(most) => format!("≤ {}", number(*most)),
        };
        let verdict = match (goal.reached(), goal.off()) {
            (Some(true), _) => "reached".into(),
            (Some(false), Some(off)) => format!("**not reached** by {:.0} %", off * 100.0),
            _ => "not measured".into(),
        };
        let _ = writeln!(out, "| {what} | {want} {unit} | {} | {verdict} |", with_spread(series));
    }
    out
}

/// A section as a table: a line for each case and system, a column for each metric.
fn section(results: &Results, section: &str) -> String {
    let rows: Vec<_> = results.iter().filter(|(key, _)| key.section == section).collect();
    let metrics: BTreeSet<_> = rows.iter().map(|(key, _)| (order(key.metric), key.metric)).collect();
    let mut out = format!("\n### {}{}\n\n| | |", section[..1].to_uppercase(), &section[1..]);
    for (_, metric) in &metrics {
        let _ = write!(out, " {metric} |");
    }
    out += "\n|---|---|";
    out += &"---|".repeat(metrics.len());
    out.push('\n');
    let mut lines: Vec<_> =
        rows.iter().map(|(key, _)| (key.case.parse::<u64>().ok(), &key.case, key.system)).collect();
    lines.sort();
    lines.dedup();
    for (_, case, system) in lines {
        let _ = write!(out, "| {case} | {system} |");
        for (_, metric) in &metrics {
            let found =
                rows.iter().find(|(k, _)| &k.case == case && k.system == system && k.metric == *metric);
            let text = found.map_or_else(|| "–".into(), |(_, series)| with_spread(series));
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
    out
}

/// Columns in the order in which they are read.
fn order(metric: &str) -> usize {
    const ORDER: [&str; 8] =
        ["per s", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "cpu µs", "failed"];
    ORDER.iter().position(|known| *known == metric).unwrap_or(ORDER.len())
}

/// The page.
#[must_use]
pub fn page(plan: &Plan, machine: &Machine, results: &Results, pictures: &[&str]) -> String {
    let Machine { processor, processors, memory, kernel, busy_before, took, stolen, .. } = machine;
    let mut out = format!(
        "# Beside what you would pick instead\n\n\
         Written by `make bench`{}; do not edit. Ratios are taken within one round and the rounds are interleaved, so that \
         a machine that slows down slows all of them; absolute figures are those of this machine.\n\n\
         {processors} × {processor}, {:.0} GiB, {kernel}; {} rounds, {} ms each load, {} minutes in all; \
         processors busy just before: {busy_before:.0} %, processor time stolen meanwhile: {stolen:.1} %.\n",
        if plan.quick { " QUICK=1, a first look and no more" } else { "" },
        *memory as f64 / f64::from(1 << 30),
        plan.rounds,
        plan.millis,
        took / 60,
    );
    if machine.was_busy() {
        out += "\nSomething else was at work on the machine when this began: read the ratios, not the figures.\n";
    }
    for version in &machine.versions {
        let _ = write!(out, "\n* {version}");
    }
    out += "\n\n## Goals\n\n";
    out += &goals(results);
    out.push('\n');
    for picture in pictures {
        let _ = writeln!(out, "![{}]({picture})", picture.trim_end_matches(".svg").replace('-', " "));
    }
    out += HOW;
    out += "\n## Everything that was measured\n";
    for one in [
        name::LEADER,
        name::FOLLOWER,
        name::PACED,
        name::LEVEL_LEADER,
        name::LEVEL_DIRECT,
        name::READ,
        name::READ_LOADED,
        name::SOCKET_GET,
        name::SOCKET_PUT,
        name::STRANGERS,
        name::KILL,
        name::STOP,
        name::JOIN,
        name::MEMORY,
        name::IDLE,
        name::MEMBERS,
    ] {
        if results.iter().any(|(key, _)| key.section == one) {
            out += &section(results, one);
        }
    }
    if !results.notes.is_empty() {
        out += "\n### What could not be measured, or failed\n\n";
        for note in &results.notes {
            let _ = writeln!(out, "* {}", note.replace('\n', " "));
        }
    }
    out
}

const HOW: &str = "
## How it is measured

Every system is three processes (or as many as a row says) on loopback that share the processors with the load. The load
runs in the process of a member, as an application that embeds the cache does it; etcd's through its own client inside its
leader, Redis' from a process of its own with a connection for each task. Keys have 16 bytes and values 100; 100,000
keys are written and read.

* closed loop: so many tasks, each begins the next write when its last one is answered. `cpu µs` is the processor time of
  all processes for one write.
* fixed rate: writes begin when they are due, whatever became of those before, and are timed from then on (no coordinated
  omission).
* a *quorum put* is answered when a majority has it: redhac's `AckLevel::Quorum`, hiqlite's `put`, Redis' `SET` with
  `WAIT 1`, etcd's `Put` without fsync. The *limit* sends frames over TCP and counts acks: no elections, no leases.
* the bare map is 64 shards of `RwLock<hashbrown::HashMap<Bytes, Bytes>>` in the same process, the value's handle cloned as
  the cache does it.
* a killed leader: from SIGKILL until a write through another member, begun afterwards, is answered. A stopped one: the
  longest time without an answer to an application that begins a write every millisecond; nobody died within
  the lease before.
* strangers: two programs that know no token, at the leader and at a follower, open connections that say something bad, half
  a sentence or nothing, and floods of streams, 256 at a time and as fast as they can, from 100 addresses. They are the ones
  of the test with 10,000 of them, have what the agents leave of the processors, and share a network with them, as those that
  come from the same host are not held back like others. The writes go to the leader's socket at a fixed rate.
* memory: what the process grows by for each entry between 400,000 and a million, without keys and values: the log, whose
  size is bounded, is full by then. The other column counts from nothing.

To repeat it: `make bench` on a machine that does nothing else (`QUICK=1` in a few minutes, `ONLY=writes` or another part,
`ROUNDS=n`). The peers are built from `tests/bench/peers`, with lock files of their own.
";
