//! Lines of a trace: what happened, and what there is afterwards.

use crate::genesis::Genesis;
use crate::genesis::state::{Generation, Round, State};
use crate::genesis::steps::Step;
use crate::slots::{members, processes, slots};

fn generation(state: &State, of: &Generation) -> String {
    let name = format!("G{}", of.name);
    let processes = |set| processes(set, &state.incarnation);
    if of.dead {
        return format!("{name} dead");
    }
    if !of.formed {
        return format!("{name} founding, ballot {}, promises {}", of.ballot, processes(of.seats));
    }
    let status = if of.active { "ACTIVE" } else { "formed" };
    let mut text =
        format!("{name} {status}, members {}, seats {}", processes(of.members), processes(of.seats));
    if of.lease > 0 {
        text += &format!(", LEASE for {}", of.lease);
    }
    match of.round {
        Round::None => {}
        Round::Entry => text += &format!(", entry acked {}", slots(of.acks)),
        Round::Seats => text += &format!(", seats for {} acked {}", slots(of.swapped), slots(of.acks)),
    }
    text
}

impl Genesis {
    pub(super) fn line(&self, before: &State, step: Step, after: &State) -> String {
        let name = |at: u8| format!("G{}", before.generations[usize::from(at)].name);
        let who = |slot: u8| format!("{slot}.{}", before.incarnation[usize::from(slot)]);
        let bound = |slot: u8| before.alive().iter().any(|g| g.members >> slot & 1 != 0);
        let what = match step {
            Step::Tick => "time passes".to_owned(),
            Step::Restart(slot) => {
                format!("{} dies, {slot}.{} is born", who(slot), after.incarnation[usize::from(slot)])
            }
            Step::Found(slot, rank) => {
                format!("{} asks for promises for G{}, ballot {rank}", who(slot), after.names)
            }
            Step::Promise(at, slot) if bound(slot) => {
                format!("{} is bound and promises {}", who(slot), name(at))
            }
            Step::Promise(at, slot) => format!("{} promises {}", who(slot), name(at)),
            Step::Arrive(at, slot) => format!("the promise of {} arrives at {}", who(slot), name(at)),
            Step::Form(at) => format!("{} is formed", name(at)),
            Step::Propose(at, Round::Seats, seats) => {
                format!("{} proposes a seat for {}", name(at), processes(seats, &before.incarnation))
            }
            Step::Propose(at, ..) => format!("{} proposes an entry", name(at)),
            Step::Ack(at, slot) => format!("{} acks {}", who(slot), name(at)),
            Step::Commit(at) => format!("{} COMMITS it", name(at)),
            Step::Drop(at) => format!("{} drops its round", name(at)),
        };
        let waiting = members(self.slots).filter(|slot| after.quarantine[*slot] > 0);
        let waiting = waiting.fold(0, |set, slot| set | 1 << slot);
        let mut parts: Vec<String> = after.alive().iter().map(|g| generation(after, g)).collect();
        if waiting != 0 {
            parts.push(format!("in quarantine {}", slots(waiting)));
        }
        format!("{what:<44} | {}", parts.join(" ; ")).trim_end().to_owned()
    }
}
