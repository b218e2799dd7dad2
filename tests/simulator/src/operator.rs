//! The operator of the world: writes host lists with epochs, creates and deletes pods, and changes the size by the rules of
//! the protocol (3 and 4), while everything else goes wrong.
//!
//! ```text
//! {now A} e ──▶ {now A, next B} e+1 ──▶ committing ──SetSize──▶ committed ──▶ {now B} e+2, pods of A∖B deleted
//!                     └──(before committing) taken back──▶ {now A} e+2 ──SetSize──▶ committed
//! ```
//!
//! Each list reaches each volume after a time of its own, or much later (a stale list). A pod that is created anew may
//! find an older list than the pod before it had, but never acts below the floor that stood in its template.

use std::collections::BTreeMap;

use rauthy_core::{HostList, Input, SizeChange, SizeProgress, SizeRefusal, Slot};

use crate::world::{SECOND, World};

/// What the operator has decided, and where it is.
#[derive(Debug)]
pub(crate) struct Operator {
    /// The newest list, as an object in the API.
    pub(crate) written: HostList,
    /// All lists by epoch.
    pub(crate) lists: BTreeMap<u64, HostList>,
    /// When it was written.
    written_at: u64,
    /// Recorded in the object before the first SetSize: from here on the change is finished.
    committing: bool,
    /// A change was taken back, and this is not confirmed yet.
    settling: bool,
    /// Slots 0..pods have a pod.
    pub(crate) pods: usize,
    /// `HA_HOSTS_MIN_EPOCH` of pods that are created now.
    pub(crate) floor: u64,
    /// The size that somebody wants.
    wanted: usize,
    /// When it looks again.
    pub(crate) next: u64,
    /// When a slot's volume shows a list: (time, slot, epoch).
    pub(crate) arrivals: Vec<(u64, usize, u64)>,
    next_ticket: u64,
}

fn slots(n: usize) -> Vec<Slot> {
    (0..n).map(World::slot).collect()
}

impl Operator {
    pub(crate) fn new(nodes: usize) -> Self {
        let written = HostList::fixed(slots(nodes));
        Self {
            lists: BTreeMap::from([(0, written.clone())]),
            written,
            written_at: 0,
            committing: false,
            settling: false,
            pods: nodes,
            floor: 0,
            wanted: nodes,
            next: u64::MAX,
            arrivals: Vec::new(),
            next_ticket: 1 << 62,
        }
    }

    /// There is nothing to do for it.
    fn idle(&self) -> bool {
        let size = self.written.now.len();
        self.written.next.is_none() && !self.settling && size == self.wanted && size == self.pods
    }

    /// Nothing changes, and everybody knows the newest list.
    pub(crate) fn at_rest(&self) -> bool {
        self.idle() && self.arrivals.is_empty()
    }
}

impl World {
    /// The slot of this number.
    pub(crate) fn slot(number: usize) -> Slot {
        Slot::new(&format!("n{number}:8000"))
    }

    /// Somebody edits `replicas`.
    pub(crate) fn want_size(&mut self, size: usize) {
        self.trace.line(self.now, &format!("somebody wants {size} replicas"));
        self.operator.wanted = size;
        self.operator.next = self.now;
    }

    /// The next moment at which the operator or a volume does something.
    pub(crate) fn next_of_operator(&self) -> u64 {
        let arrival = self.operator.arrivals.iter().map(|(at, ..)| *at).min().unwrap_or(u64::MAX);
        arrival.min(self.operator.next)
    }

    /// Does what is due.
    pub(crate) fn operate(&mut self) -> Result<(), String> {
        if let Some(at) = self.operator.arrivals.iter().position(|(at, ..)| *at <= self.now) {
            let (_, slot, epoch) = self.operator.arrivals.swap_remove(at);
            return self.volume_shows(slot, epoch);
        }
        self.reconcile()?;
        let pause = self.random.between(50_000, SECOND);
        self.operator.next = if self.operator.idle() { u64::MAX } else { self.now + pause };
        Ok(())
    }

    fn volume_shows(&mut self, slot: usize, epoch: u64) -> Result<(), String> {
        let Some(list) = self.operator.lists.get(&epoch).cloned() else { return Ok(()) };
        if list.epoch <= self.nodes[slot].hosts.epoch {
            return Ok(());
        }
        self.nodes[slot].hosts = list.clone();
        if self.nodes[slot].node.is_some() {
            self.deliver(slot, Input::Hosts(list))?;
        }
        Ok(())
    }

    fn write(&mut self, now: Vec<Slot>, next: Option<Vec<Slot>>) {
        let epoch = self.operator.written.epoch + 1;
        let list = HostList { epoch, now, next };
        let (a, b) = (list.now.len(), list.next.as_ref().map(Vec::len));
        self.trace.line(self.now, &format!("the operator writes list {epoch}: now {a}, next {b:?}"));
        self.operator.lists.insert(epoch, list.clone());
        self.operator.written = list;
        self.operator.written_at = self.now;
        self.operator.committing = false;
        let stale = if self.now < self.faults_until && self.script.is_none() { 120 } else { 0 };
        for slot in 0..self.nodes.len() {
            let longest = if self.random.chance(stale) { 40 } else { 2 } * SECOND;
            let at = self.now + self.random.between(10_000, longest);
            self.operator.arrivals.push((at, slot, epoch));
        }
    }

    fn reconcile(&mut self) -> Result<(), String> {
        let list = self.operator.written.clone();
        let size = list.now.len();
        // The template's floor follows the list; pods that are created later carry it.
        self.operator.floor = list.epoch;
        match &list.next {
            None if self.operator.settling => {
                let change = SizeChange { epoch: list.epoch, now: list.now.clone(), next: None };
                if self.set_size(change)? == Some(Ok(SizeProgress::Done)) {
                    self.operator.settling = false;
                    self.trace.line(self.now, "the change is taken back");
                    self.keep_pods(size)?;
                }
            }
            None => {
                self.keep_pods(size)?;
                if self.operator.wanted != size {
                    self.write(list.now.clone(), Some(slots(self.operator.wanted)));
                }
            }
            Some(next) => {
                if self.operator.pods < next.len() {
                    self.create_pods(next.len());
                }
                let changed_mind = next.len() != self.operator.wanted;
                if !self.operator.committing && changed_mind {
                    self.operator.settling = true;
                    self.write(list.now.clone(), None);
                    return Ok(());
                }
                let change =
                    SizeChange { epoch: list.epoch, now: list.now.clone(), next: Some(next.clone()) };
                // Written down first, then sent (rule 3f). Whoever is asked checks the confirmations itself.
                let patience = self.operator.written_at + 5 * SECOND;
                let learned = self.now >= patience || self.all_have_learned(next);
                self.operator.committing =
                    self.operator.committing || (learned && self.confirmations(&list) > size / 2);
                if self.operator.committing && self.set_size(change)? == Some(Ok(SizeProgress::Done)) {
                    self.report.resizes += 1;
                    self.write(next.clone(), None);
                }
            }
        }
        Ok(())
    }

    /// Whoever leads says that everybody in these slots holds what is committed.
    fn all_have_learned(&self, next: &[Slot]) -> bool {
        self.nodes.iter().filter(|n| n.runs()).filter_map(|n| Some((n, n.node.as_ref()?))).any(|(n, node)| {
            let status = node.status(n.clock.local(self.now));
            let there =
                |slot: &Slot| status.members.iter().any(|m| m.slot == *slot && (m.caught_up || m.learned));
            status.role == rauthy_core::Role::Leader && next.iter().all(there)
        })
    }

    /// Slots of `now` that say that they read this list or a later one.
    fn confirmations(&self, list: &HostList) -> usize {
        let reads = |slot: &&Slot| {
            self.nodes.iter().zip(&self.slots).any(|(node, name)| {
                name == *slot
                    && node.runs()
                    && node
                        .node
                        .as_ref()
                        .is_some_and(|n| n.status(node.clock.local(self.now)).epoch >= list.epoch)
            })
        };
        list.now.iter().filter(reads).count()
    }

    /// Asks whoever leads; a frozen process does not answer, and now and then the request gets lost, or the answer does.
    fn set_size(&mut self, change: SizeChange) -> Result<Option<Result<SizeProgress, SizeRefusal>>, String> {
        let leads = |node: &crate::node::SimNode| {
            node.runs() && node.node.as_ref().and_then(rauthy_core::Node::inside).is_some_and(|i| i.leads)
        };
        let Some(slot) = self.nodes.iter().position(leads) else { return Ok(None) };
        if self.random.chance(100) {
            return Ok(None);
        }
        if self.random.chance(50) {
            // It arrives much later, at whoever lives there then.
            let at = self.now + self.random.between(SECOND, 20 * SECOND);
            self.delayed.push((at, slot, change));
            return Ok(None);
        }
        self.operator.next_ticket += 1;
        let ticket = self.operator.next_ticket;
        self.deliver(slot, Input::SetSize { ticket, change })?;
        let answer = self.sized.remove(&ticket);
        Ok(answer.filter(|_| !self.random.chance(50)))
    }

    /// A request that was on its way for long.
    pub(crate) fn deliver_delayed(&mut self) -> Result<bool, String> {
        let Some(at) = self.delayed.iter().position(|(at, ..)| *at <= self.now) else { return Ok(false) };
        let (_, slot, change) = self.delayed.swap_remove(at);
        if self.nodes[slot].node.is_some() {
            self.operator.next_ticket += 1;
            let ticket = self.operator.next_ticket;
            self.deliver(slot, Input::SetSize { ticket, change })?;
            self.sized.clear();
        }
        Ok(true)
    }

    fn create_pods(&mut self, pods: usize) {
        for slot in self.operator.pods..pods {
            // A pod whose list does not name it ends at once, and is started again until it does.
            self.nodes[slot].hosts = self.operator.written.clone();
            self.nodes[slot].set_floor(self.operator.floor);
            let at = self.now + self.random.between(10_000, SECOND);
            self.restarts.push((at, slot));
        }
        self.operator.pods = pods;
    }

    /// Deletes the pods beyond these.
    fn keep_pods(&mut self, pods: usize) -> Result<(), String> {
        for slot in pods..self.operator.pods {
            self.trace.line(self.now, &format!("the pod of n{slot} is deleted"));
            self.restarts.retain(|(_, s)| *s != slot);
            self.kill(slot)?;
        }
        self.operator.pods = self.operator.pods.min(pods);
        Ok(())
    }
}
