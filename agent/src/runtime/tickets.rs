//! Who waits for the answer to a ticket.

use slab::Slab;

/// Those who wait, each under a number that is not given again before four billion others: the core answers once, and what
/// it answered late would go to nobody else.
#[derive(Debug)]
pub(super) struct Tickets<W> {
    waiting: Slab<(u32, W)>,
    serial: u32,
}

impl<W> Default for Tickets<W> {
    fn default() -> Self {
        Self { waiting: Slab::new(), serial: 0 }
    }
}

impl<W> Tickets<W> {
    /// A ticket for somebody who waits: a place, and which of those that had it one after the other.
    pub fn give(&mut self, who: W) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        let place = self.waiting.insert((self.serial, who)) as u64;
        place << 32 | u64::from(self.serial)
    }

    /// Who waits for the answer to this one; waits no longer.
    pub fn take(&mut self, ticket: u64) -> Option<W> {
        let place = usize::try_from(ticket >> 32).ok()?;
        let (serial, _) = self.waiting.get(place)?;
        if u64::from(*serial) != ticket & u64::from(u32::MAX) {
            return None;
        }
        self.waiting.try_remove(place).map(|(_, who)| who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_the_one_who_asked_and_nobody_after_him() {
        let mut tickets = Tickets::default();
        let (a, b) = (tickets.give('a'), tickets.give('b'));
        assert_eq!(tickets.take(a), Some('a'));
        let c = tickets.give('c');
        assert_eq!((c >> 32, tickets.take(a)), (a >> 32, None), "the place is taken, by somebody else");
        assert_eq!((tickets.take(b), tickets.take(c), tickets.take(c)), (Some('b'), Some('c'), None));
        assert_eq!(tickets.take(u64::MAX), None);
    }
}
