//! Lines of a trace: what happened, and what there is afterwards.

use crate::seats::Seats;
use crate::seats::log::{Configuration, Counting, LIVES, Log, MAX_SLOTS, Map, Nodes, node};
use crate::seats::state::{Part, State};
use crate::seats::steps::Step;
use crate::slots::{Slots, members};

/// Slots have letters here, incarnations numbers from 1, as in the contract.
fn name(slot: usize, life: u8) -> String {
    let letter = ["A", "B", "C", "D", "E"].get(slot).copied().unwrap_or("?");
    format!("{letter}{}", life + 1)
}

fn map(of: Map, slots: Slots) -> String {
    let names =
        members(slots).map(|slot| of.holder(slot).map_or_else(|| "-".to_owned(), |life| name(slot, life)));
    format!("{{{}}}", names.collect::<Vec<_>>().join(","))
}

impl Seats {
    fn configuration(&self, of: Configuration) -> String {
        let lists = match of.counting {
            Counting::Old => vec![self.lists.0],
            Counting::Both => vec![self.lists.0, self.lists.1],
            Counting::New => vec![self.lists.1],
        };
        let maps: Vec<Map> = [Some(of.map), of.next].into_iter().flatten().collect();
        let parts = maps.iter().flat_map(|m| lists.iter().map(|list| map(*m, *list)));
        parts.collect::<Vec<_>>().join("+")
    }

    fn log(&self, of: &Log) -> String {
        let entries = of.entries().iter().map(|entry| match entry.configuration() {
            Some(configuration) => format!("{}:{}", entry.term(), self.configuration(configuration)),
            None => format!("{}:·", entry.term()),
        });
        entries.collect::<Vec<_>>().join(" ")
    }

    fn nodes(&self, of: Nodes) -> String {
        let all = (0..MAX_SLOTS).flat_map(|slot| (0..LIVES as u8).map(move |life| (slot, life)));
        let names =
            all.filter(|(slot, life)| of & node(*slot, *life) != 0).map(|(slot, life)| name(slot, life));
        names.collect::<Vec<_>>().join(",")
    }

    pub(super) fn line(&self, before: &State, step: Step, after: &State) -> String {
        let who = |slot: u8| name(usize::from(slot), before.processes[usize::from(slot)].life);
        let now = |slot: u8| &after.processes[usize::from(slot)];
        let appended = |slot: u8| {
            let newest = now(slot).log.entries().last().and_then(|entry| entry.configuration());
            newest.map_or_else(|| "a no-op".to_owned(), |c| self.configuration(c))
        };
        let what = match step {
            Step::Restart(slot) => {
                format!("{} dies, {} is born", who(slot), name(usize::from(slot), now(slot).life))
            }
            Step::Campaign(slot, term) => format!("{} asks for votes in term {term}", who(slot)),
            Step::Vote(voter, candidate) => format!("{} votes for {}", who(voter), who(candidate)),
            Step::Win(slot) => {
                let process = &before.processes[usize::from(slot)];
                format!("{} LEADS term {} by {}", who(slot), process.term, self.nodes(process.votes))
            }
            Step::Receive(term, slot) => {
                format!("{} gets entry {} of term {term}'s leader", who(slot), now(slot).log.len())
            }
            Step::Commit(slot) => {
                let acks = now(slot).acks[usize::from(now(slot).commit.saturating_sub(1))];
                let itself = node(usize::from(slot), now(slot).life);
                format!("{} COMMITS up to {} by {}", who(slot), now(slot).commit, self.nodes(acks | itself))
            }
            Step::Write(slot) => format!("{} appends an entry", who(slot)),
            Step::Swap(slot, _) | Step::Swapped(slot) | Step::Resize(slot) | Step::Resized(slot) => {
                format!("{} appends {}", who(slot), appended(slot))
            }
        };
        let processes = members(self.all()).map(|slot| {
            let process = &after.processes[slot];
            let part = match process.part {
                Part::Follower => String::new(),
                Part::Candidate => format!(" asks ({})", self.nodes(process.votes)),
                Part::Leader => format!(" leads, commit {}", process.commit),
            };
            format!("{} t{}{part} [{}]", name(slot, process.life), process.term, self.log(&process.log))
        });
        format!("{what:<52} | {}", processes.collect::<Vec<_>>().join(" ; "))
    }
}
