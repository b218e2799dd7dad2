//! What happened, for people, and a hash of it for comparing two runs.

use std::collections::VecDeque;

use rauthy_core::{Configuration, Event};

/// Lines kept for the report of a failure.
const KEPT: usize = 400;

/// The history of a world.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    hash: u64,
    /// Print each line at once, as it happens.
    pub live: bool,
    /// Every line, where all are asked for.
    pub all: Option<String>,
}

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, at: u64, text: &str) {
        let line = format!("{:>10.4}s  {text}", at as f64 / 1e6);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.live {
            println!("{line}");
        }
        if let Some(all) = &mut self.all {
            all.push_str(&line);
            all.push('\n');
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Mixes in something that is too frequent for a line.
    pub fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Equal for equal histories.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        let skip = self.lines.len().saturating_sub(lines);
        self.lines.iter().skip(skip).map(|l| format!("{l}\n")).collect()
    }
}

/// A configuration in a few words: its number, the sizes of its lists, and the seats.
#[must_use]
pub fn configuration(c: &Configuration) -> String {
    let lists: Vec<String> = c.lists.iter().map(|list| list.len().to_string()).collect();
    let seats = |map: &rauthy_core::config::Seats| {
        let seats: Vec<String> = map
            .values()
            .map(|who| {
                let slot = who.slot.as_str();
                format!("{}#{}", slot.split(':').next().unwrap_or(slot), &who.boot.to_string()[..4])
            })
            .collect();
        seats.join(" ")
    };
    let maps: Vec<String> = c.maps.iter().map(seats).collect();
    let how = if c.resizing { ", changing size" } else { "" };
    format!("number {} of {} slots{how}: {}", c.epoch, lists.join(" and "), maps.join(" | "))
}

/// An event as a person would tell it.
#[must_use]
pub fn tell(event: &Event) -> String {
    match event {
        Event::Born { boot } => format!("is born as #{boot}"),
        Event::Bound { generation, founder: true } => format!("founds generation {generation}"),
        Event::Bound { generation, founder: false } => format!("joins generation {generation}"),
        Event::Campaign { term } => format!("campaigns in term {term}"),
        Event::Leading { term } => format!("leads term {term}"),
        Event::Following { leader, term } => format!("follows {leader} in term {term}"),
        Event::SteppedDown { term, reason } => format!("leads term {term} no more: {reason}"),
        Event::Configured { index, configuration: c } => {
            format!("has committed, at {index}, configuration {}", configuration(c))
        }
        Event::SnapshotStarted { to } => format!("sends a snapshot to {to}"),
        Event::SnapshotInstalled { index } => format!("has installed a snapshot that ends at {index}"),
        Event::Wiped { reason } => format!("forgets everything: {reason}"),
        Event::HostsChanged { epoch } => format!("reads list {epoch}"),
        Event::Resizing { epoch } => format!("changes the size: configuration number {epoch}"),
        Event::HandedOver => "has handed the leadership over".to_owned(),
    }
}
