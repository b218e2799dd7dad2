//! What is wanted of each figure: a ratio within one round wherever there is a peer, so that a slow machine slows both.

use crate::driver::System;
use crate::results::{Results, Series};
use crate::sections::members::SIZES;
use crate::sections::{TASKS, name};

/// How long a read lease lasts at most: L.
const LEASE_MS: f64 = 1000.0;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

/// Which value of a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Median,
    Greatest,
}

/// A figure and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Goal {
    /// In words.
    pub what: String,
    /// What it should be.
    pub want: Want,
    /// `×` for ratios.
    pub unit: &'static str,
    /// Round by round.
    pub series: Series,
    of: Of,
}

impl Goal {
    fn new(what: impl Into<String>, series: Series, want: Want) -> Self {
        Self { what: what.into(), want, unit: "×", series, of: Of::Median }
    }

    fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    fn greatest(mut self) -> Self {
        self.of = Of::Greatest;
        self
    }

    /// The figure; `None`: it was not measured.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self.of {
            Of::Median => self.series.median(),
            Of::Greatest => self.series.spread().map(|(_, greatest)| greatest),
        }
    }

    /// Whether it is as wanted; `None`: it was not measured.
    #[must_use]
    pub fn reached(&self) -> Option<bool> {
        let value = self.value()?;
        Some(match self.want {
            Want::AtLeast(least) => value >= least,
            Want::AtMost(most) => value <= most,
        })
    }

    /// How far the figure is from what it should be, as a share of that; `None`: it was not measured.
    #[must_use]
    pub fn off(&self) -> Option<f64> {
        let (Want::AtLeast(wanted) | Want::AtMost(wanted)) = self.want;
        Some((self.value()? - wanted).abs() / wanted)
    }
}

/// All of them, in the order of the report.
#[must_use]
pub fn all(results: &Results) -> Vec<Goal> {
    let mut goals = writes(results);
    goals.extend(reads(results));
    goals.extend(faults(results));
    goals.extend(resources(results));
    goals
}

fn rate(results: &Results, section: &'static str, case: &str, system: &'static str) -> Series {
    results.get(section, case, system, "per s")
}

fn writes(results: &Results) -> Vec<Goal> {
    use Want::{AtLeast, AtMost};
    let ours = System::Ours.name();
    let over = |section, tasks: usize, of: &'static str, peer: &'static str| {
        let case = tasks.to_string();
        rate(results, section, &case, of).over(&rate(results, section, &case, peer))
    };
    let mut goals = Vec::new();
    let against = |system: System, tasks: &[usize], want| {
        let goal = |tasks: &usize| {
            let what = format!("quorum put through the leader, {tasks} at a time: ours / {}", system.name());
            Goal::new(what, over(name::LEADER, *tasks, ours, system.name()), want)
        };
        tasks.iter().map(goal).collect::<Vec<_>>()
    };
    goals.extend(against(System::Hiqlite, &TASKS, AtLeast(3.0)));
    goals.extend(against(System::Redhac, &[64], AtLeast(10.0)));
    goals.extend(against(System::Redis, &TASKS, AtLeast(1.0)));
    goals.extend(against(System::Etcd, &TASKS, AtLeast(1.0)));
    goals.extend(against(System::Limit, &[1, 16, 64], AtLeast(0.7)));
    let follower = over(name::FOLLOWER, 64, ours, System::Hiqlite.name());
    goals.push(Goal::new("put through a follower, 64 at a time: ours / hiqlite", follower, AtLeast(5.0)));
    let p50 = |section| results.get(section, "1", ours, "p50 µs");
    goals.push(Goal::new(
        "put, 1 at a time: p50 through a follower / through the leader",
        p50(name::FOLLOWER).over(&p50(name::LEADER)),
        AtMost(1.6),
    ));
    let tls = over(name::LEADER, 64, System::OursTls.name(), ours);
    goals.push(Goal::new("put, 64 at a time: with TLS / without", tls, AtLeast(0.8)));
    for (section, level, want) in [(name::LEVEL_DIRECT, "Direct", 1.0), (name::LEVEL_LEADER, "Leader", 3.0)] {
        for tasks in [1, 64] {
            let what = format!("put at level {level}, {tasks} at a time: ours / redhac");
            let series = over(section, tasks, ours, System::Redhac.name());
            goals.push(Goal::new(what, series, AtLeast(want)));
        }
    }
    goals
}

fn reads(results: &Results) -> Vec<Goal> {
    use Want::{AtLeast, AtMost};
    let ours = System::Ours.name();
    let mut goals = Vec::new();
    for threads in ["1", "2"] {
        let read = |of| rate(results, name::READ, threads, of);
        for peer in [System::Hiqlite, System::Redhac] {
            let what = format!("local read, {threads} threads: ours / {}", peer.name());
            goals.push(Goal::new(what, read(ours).over(&read(peer.name())), AtLeast(5.0)));
        }
        let what = format!("local read, {threads} threads: time of ours / of a bare map");
        goals.push(Goal::new(what, read("bare map").over(&read(ours)), AtMost(1.3)));
    }
    let loaded = |metric| results.get(name::READ_LOADED, "1", ours, metric);
    let tail = loaded("p99.9 µs").over(&loaded("p50 µs"));
    goals.push(Goal::new("local read under writes: p99.9 / p50", tail, AtMost(10.0)));
    let p50 = |of| results.get(name::SOCKET_GET, "1", of, "p50 µs");
    goals.push(Goal::new(
        "read over the socket, unary: p50 of ours / of a call that does nothing",
        p50("unary").over(&p50("bare unary")),
        AtMost(1.2),
    ));
    let session = rate(results, name::SOCKET_GET, "256", "Session");
    goals.push(Goal::new("reads over one Session, 256 at a time", session, AtLeast(250_000.0)).unit("/s"));
    goals
}

fn faults(results: &Results) -> Vec<Goal> {
    use Want::AtMost;
    let ours = System::Ours.name();
    let in_leases = Series(
        results
            .get(name::KILL, "3", ours, "ms")
            .0
            .iter()
            .map(|(round, ms)| (*round, ms / LEASE_MS))
            .collect(),
    );
    let tail = |of| results.get(name::JOIN, "1", of, "p99 µs");
    let flooded = |case: &'static str| {
        let tail = |of| results.get(name::STRANGERS, case, of, "p99 µs");
        let what = format!("the writes' p99 while strangers come / undisturbed, {case}");
        Goal::new(what, tail("strangers").over(&tail("undisturbed")), AtMost(2.0))
    };
    vec![
        flooded("without TLS"),
        flooded("with TLS"),
        Goal::new("new leader after SIGKILL, median", in_leases.clone(), AtMost(1.5)).unit("L"),
        Goal::new("new leader after SIGKILL, worst", in_leases, AtMost(2.5)).unit("L").greatest(),
        Goal::new(
            "SIGTERM of the leader: longest time without a write, median",
            results.get(name::STOP, "3", ours, "ms"),
            AtMost(20.0),
        )
        .unit("ms"),
        Goal::new(
            "join with 1 M entries under 20k writes/s",
            results.get(name::JOIN, "1", ours, "s"),
            AtMost(5.0),
        )
        .unit("s"),
        Goal::new(
            "the writes' p99 meanwhile / undisturbed",
            tail("while a member joins").over(&tail("undisturbed")),
            AtMost(3.0),
        ),
    ]
}

fn resources(results: &Results) -> Vec<Goal> {
    use Want::AtMost;
    let memory = |of| results.get(name::MEMORY, "1", of, "B per entry");
    let mut goals = vec![
        Goal::new("memory per entry beyond key and value, leader", memory("leader"), AtMost(100.0)).unit("B"),
        Goal::new("the same of a follower", memory("follower"), AtMost(100.0)).unit("B"),
        Goal::new(
            "the same of a follower / of Redis",
            memory("follower").over(&memory("Redis")),
            AtMost(1.0),
        ),
    ];
    for (case, of) in [("0", "leader"), ("1", "follower")] {
        let idle = |metric| results.get(name::IDLE, case, of, metric);
        goals.push(
            Goal::new(format!("idle {of}: processor"), idle("% of a core"), AtMost(0.5)).unit("% of a core"),
        );
        goals.push(Goal::new(format!("idle {of}: memory"), idle("MiB"), AtMost(20.0)).unit("MiB"));
    }
    let cost = |members: usize| results.get(name::MEMBERS, &members.to_string(), "ours", "cpu µs");
    for members in SIZES.into_iter().skip(1) {
        let what = format!("processor time of a write, {members} members / 3");
        goals.push(Goal::new(what, cost(members).over(&cost(3)), AtMost(members as f64 / 3.0)));
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_neither_reached_nor_missed() {
        let goals = all(&Results::default());
        assert!(goals.len() > 30);
        assert!(goals.iter().all(|goal| goal.reached().is_none()));
    }

    #[test]
    fn a_goal_is_judged_by_ratios_of_the_same_round() {
        let mut results = Results::default();
        for (round, (ours, theirs)) in [(30.0, 10.0), (300.0, 50.0), (3.0, 0.5)].into_iter().enumerate() {
            results.add(round, name::LEADER, 64, "ours", "per s", ours);
            results.add(round, name::LEADER, 64, "hiqlite", "per s", theirs);
        }
        let goals = all(&results);
        let goal = goals.iter().find(|goal| goal.what.contains("64 at a time: ours / hiqlite")).unwrap();
        assert_eq!((goal.value(), goal.reached()), (Some(6.0), Some(true)));
    }

    #[test]
    fn the_worst_is_the_greatest() {
        let mut results = Results::default();
        for (round, ms) in [900.0, 2600.0, 1000.0].into_iter().enumerate() {
            results.add(round, name::KILL, "3", "ours", "ms", ms);
        }
        let goals = all(&results);
        let of = |what: &str| goals.iter().find(|goal| goal.what.ends_with(what)).unwrap();
        assert_eq!(of("SIGKILL, median").reached(), Some(true));
        assert_eq!((of("SIGKILL, worst").value(), of("SIGKILL, worst").reached()), (Some(2.6), Some(false)));
        assert!(of("SIGKILL, worst").off().is_some_and(|off| (off - 0.04).abs() < 1e-9), "0.1 of 2.5");
    }
}
