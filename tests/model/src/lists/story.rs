//! Lines of a trace: what happened, and what there is afterwards.

use crate::lists::Lists;
use crate::lists::state::{Configuration, Generation, Round, State};
use crate::lists::steps::Step;
use crate::slots::{processes, slots};

fn configuration(of: Configuration) -> String {
    let next = if of.next == 0 { String::new() } else { format!("+{}", slots(of.next)) };
    format!("#{} {}{next}", of.number, slots(of.now))
}

fn generation(state: &State, of: &Generation) -> String {
    let name = format!("G{}", of.name);
    if of.dead {
        return format!("{name} dead");
    }
    if !of.formed {
        return format!(
            "{name} founding under list {}, promises {}",
            of.epoch,
            processes(of.seats, &state.incarnation)
        );
    }
    let status = if of.active { "ACTIVE" } else { "formed" };
    let mut text = format!(
        "{name} {status} {} members {} seats {}",
        configuration(of.configuration),
        processes(of.members, &state.incarnation),
        processes(of.seats, &state.incarnation)
    );
    match of.round {
        Round::None => {}
        Round::Entry => text += &format!(", entry acked {}", slots(of.acks)),
        Round::Seats => text += &format!(", seats for {} acked {}", slots(of.swapped), slots(of.acks)),
        Round::Change(to) => text += &format!(", to {} acked {}", configuration(to), slots(of.acks)),
    }
    text
}

impl Lists {
    pub(super) fn line(&self, before: &State, step: Step, after: &State) -> String {
        let name = |at: u8| format!("G{}", before.generations[usize::from(at)].name);
        let who = |slot: u8| format!("{slot}.{}", before.incarnation[usize::from(slot)]);
        let reads = |slot: u8| after.view[usize::from(slot)];
        let what = match step {
            Step::Write => {
                let list = self.plan.list(after.written);
                let next = list.next.map_or(String::new(), |next| format!(", next {}", slots(next)));
                format!("the operator writes list {}: now {}{next}", after.written, slots(list.now))
            }
            Step::Read(slot) => format!("slot {slot} reads list {}", reads(slot)),
            Step::Restart(slot) => {
                format!("{} dies, {slot}.{} begins", who(slot), after.incarnation[usize::from(slot)])
            }
            Step::Found(slot) => {
                format!("{} begins to found G{} under list {}", who(slot), after.names, reads(slot))
            }
            Step::Promise(at, slot) => format!("{} promises {}", who(slot), name(at)),
            Step::Form(at) => format!("{} is formed", name(at)),
            Step::Propose(at, Round::Seats, seats) => {
                format!("{} proposes a seat for {}", name(at), processes(seats, &before.incarnation))
            }
            Step::Propose(at, Round::Change(to), _) => format!("{} proposes {}", name(at), configuration(to)),
            Step::Propose(at, ..) => format!("{} proposes an entry", name(at)),
            Step::Ack(at, slot) => format!("{} acks {}", who(slot), name(at)),
            Step::Commit(at) => format!("{} COMMITS it", name(at)),
            Step::Drop(at) => format!("{} drops its round", name(at)),
        };
        let generations: Vec<String> = after.alive().iter().map(|g| generation(after, g)).collect();
        format!("{what:<52} | {}", generations.join(" ; ")).trim_end().to_owned()
    }
}
