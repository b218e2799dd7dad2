//! What happened, for people, and a hash of it for comparing two runs.

use std::collections::VecDeque;

/// Lines kept for the report of a failure.
const KEPT: usize = 400;

/// The history of a world.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    hash: u64,
    /// Print each line at once, as it happens.
    pub live: bool,
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
