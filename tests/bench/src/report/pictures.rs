//! Which pictures there are.

use super::svg::{self, Line, Picture, Point};
use crate::driver::System;
use crate::results::{Results, Series};
use crate::sections::members::SIZES;
use crate::sections::{TASKS, name};

fn point(series: &Series) -> Option<Point> {
    let (least, greatest) = series.spread()?;
    Some(Point { middle: series.median()?, least, greatest })
}

/// File names and contents of those of which anything was measured.
#[must_use]
pub fn all(results: &Results) -> Vec<(&'static str, String)> {
    let tasks: Vec<_> = TASKS.iter().map(ToString::to_string).collect();
    let systems = System::ALL.map(System::name);
    let threads = ["1".to_owned(), "2".to_owned()];
    let readers = ["ours", "bare map", "hiqlite", "redhac"];
    let of = |section, metric, cases: &[String], systems: &[&'static str]| -> Vec<Line> {
        let line = |system: &&'static str| Line {
            name: (*system).to_owned(),
            points: cases.iter().map(|case| point(&results.get(section, case, system, metric))).collect(),
        };
        let lines = systems.iter().map(line);
        lines.filter(|line| line.points.iter().any(Option::is_some)).collect()
    };
    let at_a_time = |cases: &[String]| cases.iter().map(|n| format!("{n} at a time")).collect::<Vec<_>>();
    let mut pictures = Vec::new();
    for (file, section, title) in [
        ("put-leader.svg", name::LEADER, "Quorum writes a second, through the leader"),
        ("put-follower.svg", name::FOLLOWER, "Quorum writes a second, through a follower"),
    ] {
        let lines = of(section, "per s", &tasks, &systems);
        pictures.push((file, true, title, at_a_time(&tasks), lines));
    }
    let latency = of(name::LEADER, "p50 µs", &tasks, &systems);
    let title = "Quorum writes through the leader: median latency, µs";
    pictures.push(("put-latency.svg", true, title, at_a_time(&tasks), latency));
    let paced = ["leader".to_owned(), "follower".to_owned()];
    let title = "2,000 quorum writes a second: 99 of 100 take no longer than, µs";
    let lines = of(name::PACED, "p99 µs", &paced, &systems);
    pictures.push((
        "put-fixed-rate.svg",
        true,
        title,
        paced.map(|p| format!("through the {p}")).to_vec(),
        lines,
    ));
    let tls = ["without TLS".to_owned(), "with TLS".to_owned()];
    let title = "2,000 quorum writes a second: 99 of 100 take no longer than, µs";
    let lines = of(name::STRANGERS, "p99 µs", &tls, &["undisturbed", "strangers"]);
    pictures.push(("strangers.svg", false, title, tls.to_vec(), lines));
    let lines = of(name::READ, "per s", &threads, &readers);
    let cases = threads.iter().map(|n| format!("{n} threads")).collect();
    pictures.push(("local-read.svg", true, "Local reads a second", cases, lines));
    let mut drawn: Vec<_> = pictures
        .into_iter()
        .filter(|(_, _, _, _, lines)| !lines.is_empty())
        .map(|(file, logarithmic, title, cases, lines)| {
            (file, svg::bars(&Picture { title: title.into(), cases, lines, logarithmic }))
        })
        .collect();
    let sizes: Vec<_> = SIZES.iter().map(ToString::to_string).collect();
    let lines = of(name::MEMBERS, "cpu µs", &sizes, &["ours"]);
    if !lines.is_empty() {
        let cases = sizes.iter().map(|n| format!("{n} members")).collect();
        let title = "Processor time of one write on all members together, µs".to_owned();
        drawn.push(("members.svg", svg::lines(&Picture { title, cases, lines, logarithmic: false })));
    }
    drawn
}
