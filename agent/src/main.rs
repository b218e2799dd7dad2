//! `rauthy-agent`: the daemon and its tools.

fn main() {}
