//! The rules one at a time: a node in a given state is told one thing, and what it says and is then is looked at.
//!
//! ```text
//! three slots n0 n1 n2; the node is n1, born long ago; it is NOW
//! bound():  generation 7, term 5, all three seated   index  1  2  3 │ 4  5  6
//!                                                    term   1  1  2 │ 2  4  4     committed up to 3
//! ```
//!
//! The simulator looks for what these rules are for; here stands what each of them says, to the microsecond.

mod acks;
mod appends;
mod commits;
mod elections;
mod genesis;
mod handover;
mod leading;
mod leases;
mod lingering;
mod own;
mod receive;
mod room;
mod seats;
mod sessions;
mod size;
mod snapshot;
mod status;
mod votes;
mod writes;

use bytes::Bytes;

use super::*;
use crate::config::{Configuration, Seats};
use crate::log::{Entry, Payload};
use crate::message::{Append, AppendReply, Base, Forward, ForwardReply, Grant, SnapshotChunk};
use crate::node::bound::Follower;
use crate::node::leader::{Leader, Progress};
use crate::node::snapshot::Install;
use crate::request::{AckLevel, Condition, Done, Refusal, Request, Stamp};
use crate::types::{Generation, Index, LogTime, Term};

/// The moment of every test, by the clock of the node.
const NOW: Time = Time(100_000_000);
/// A lease.
const L: Span = Span::from_millis(1000);
const GENERATION: Generation = Generation(7);
const CACHE: &str = "c";
const TERM: Term = 5;
const COMMIT: Index = 3;
/// Last term and index of its log.
const LAST: (Term, Index) = (4, 6);

fn before(at: Time, span: Span) -> Time {
    Time(at.0 - span.0)
}

fn slot(n: u8) -> Slot {
    Slot::new(&format!("n{n}:1"))
}

/// Who lives in a slot that is not the node's own.
fn peer(n: u8) -> Incarnation {
    dweller(&slot(n))
}

fn dweller(slot: &Slot) -> Incarnation {
    let name = slot.as_str().bytes().map(u128::from);
    Incarnation { slot: slot.clone(), boot: Boot(name.sum()) }
}

/// So many slots.
fn fixed(slots: u8) -> HostList {
    HostList::fixed((0..slots).map(slot).collect())
}

fn list(epoch: Epoch) -> HostList {
    HostList { epoch, ..fixed(3) }
}

fn settings() -> Settings {
    Settings::new(slot(1))
}

/// Bound to nothing, out of its quarantine, with nothing heard of anybody.
fn free() -> Node {
    free_with(settings(), list(0))
}

fn free_with(settings: Settings, hosts: HostList) -> Node {
    let mut node = Node::new(settings, hosts, [1, 2, 3, 4], Time(0));
    node.step(NOW, Input::ClockJumped, &mut Vec::new());
    node
}

/// A follower that has not heard from anybody lately, and is not about to do anything by itself.
fn bound() -> Node {
    bound_with(settings(), list(0))
}

fn bound_with(settings: Settings, hosts: HostList) -> Node {
    let mut node = free_with(settings, hosts);
    node.bind(GENERATION, TERM, 0);
    let me = node.me().clone();
    let who = |at: Slot| if at == me.slot { me.clone() } else { dweller(&at) };
    let slots = node.hosts.slots();
    let seats: Seats = slots.iter().map(|at| (at.clone(), who(at.clone()))).collect();
    let configuration = Configuration { epoch: 0, resizing: false, lists: vec![slots], maps: vec![seats] };
    let bound = inside(&mut node);
    bound.push(Arc::new(Entry {
        term: 1,
        index: 1,
        time: LogTime(1),
        payload: Payload::Configuration(Arc::new(configuration)),
    }));
    for (index, term) in (2..).zip([1, 2, 2, 4, 4]) {
        bound.push(entry(index, term));
    }
    bound.part = Part::Follower(Follower { election_at: Some(NOW + L.times(5)), ..Follower::default() });
    node.commit_to(COMMIT);
    node.next_ping = NOW + L.times(5);
    node.outbox.out.clear();
    node
}

fn entry(index: Index, term: Term) -> Arc<Entry> {
    Arc::new(Entry { term, index, time: LogTime(index), payload: Payload::Noop })
}

fn inside(node: &mut Node) -> &mut Bound {
    node.bound().expect("it is bound")
}

/// It leads in its term, with its no-op appended and nothing acked by anybody.
fn leading() -> Node {
    leading_with(settings(), list(0))
}

fn leading_with(settings: Settings, hosts: HostList) -> Node {
    let mut node = bound_with(settings, hosts);
    node.lead(TERM);
    leader(&mut node).next_heartbeat = NOW + L.times(5);
    node.outbox.out.clear();
    node
}

fn leader(node: &mut Node) -> &mut Leader {
    inside(node).leader().expect("it leads")
}

/// Somebody without a seat of the leader's, who holds nothing.
fn learner(node: &mut Node, n: u8) -> &mut Progress {
    leader(node).progress.entry(peer(n)).or_insert_with(|| Progress::new(1))
}

/// It leads, everybody holds its no-op, which is committed, and it has a lease for as long as that is.
fn serving() -> Node {
    serving_with(settings(), list(0))
}

fn serving_with(settings: Settings, hosts: HostList) -> Node {
    let mut node = leading_with(settings, hosts);
    let peers: Vec<_> = leader(&mut node).progress.keys().cloned().collect();
    for who in peers {
        tell(&mut node, &who, Body::AppendReply(ack(LAST.1 + 1)));
    }
    step(&mut node, NOW, Input::Tick);
    node.dirty = false;
    node
}

/// What a leader before it had appended and not committed, and then it serves.
fn serving_after(settings: Settings, payloads: Vec<Payload>) -> Node {
    let mut node = bound_with(settings, list(0));
    for (index, payload) in (LAST.1 + 1..).zip(payloads) {
        inside(&mut node).push(Arc::new(Entry { term: LAST.0, index, time: LogTime(index), payload }));
    }
    node.lead(TERM);
    leader(&mut node).next_heartbeat = NOW + L.times(5);
    commit_all(&mut node);
    node
}

/// Both others hold all of its log.
fn commit_all(node: &mut Node) {
    let last = inside(node).log.last_index();
    commit_up_to(node, last);
}

fn commit_up_to(node: &mut Node, index: Index) {
    for n in [0, 2] {
        tell(node, &peer(n), Body::AppendReply(ack(index)));
    }
    step(node, NOW, Input::Tick);
    assert_eq!(inside(node).commit, index);
}

/// n0 hands on a write; what it is told at once, if anything.
fn write(
    node: &mut Node,
    request: Request,
    stamp: Option<Stamp>,
    level: AckLevel,
) -> Option<Result<Done, Refusal>> {
    let forward = Forward { id: 4, stamp, request, level };
    let message = message(node, &peer(0), Body::Forward(forward));
    answer(sent(node, NOW, Input::Message(message)))
}

/// What n0 is told of its write.
fn answer(said: Vec<(Slot, Body)>) -> Option<Result<Done, Refusal>> {
    let answer = |(to, body)| match body {
        Body::ForwardReply(ForwardReply { id: 4, result }) if to == slot(0) => Some(result),
        _ => None,
    };
    let mut answers: Vec<_> = said.into_iter().filter_map(answer).collect();
    assert!(answers.len() < 2, "{answers:?}");
    answers.pop()
}

fn put(key: &str) -> Request {
    let (cache, key) = (Arc::from(CACHE), Bytes::from(key.to_owned()));
    Request::Put { cache, key, value: Bytes::from("v"), ttl: None, condition: Condition::Always }
}

/// A peer holds everything up to this index.
fn ack(index: Index) -> AppendReply {
    AppendReply { term: TERM, accepted: true, index, sent_at: NOW, clock: Time(33), applied: 0 }
}

fn message(node: &Node, from: &Incarnation, body: Body) -> Message {
    let me = node.me();
    Message {
        from: from.clone(),
        to: me.slot.clone(),
        to_boot: Some(me.boot),
        generation: Some(GENERATION),
        body,
    }
}

/// What it says when it is told this; gossip is left out.
fn tell(node: &mut Node, from: &Incarnation, body: Body) -> Vec<Body> {
    let message = message(node, from, body);
    step(node, NOW, Input::Message(message))
}

fn step(node: &mut Node, at: Time, input: Input) -> Vec<Body> {
    sent(node, at, input).into_iter().map(|(_, body)| body).collect()
}

/// What it says to whom; gossip is left out.
fn sent(node: &mut Node, at: Time, input: Input) -> Vec<(Slot, Body)> {
    let sent = |output| match output {
        Output::Send(Message { body: Body::Ping(_), .. }) => None,
        Output::Send(message) => Some((message.to, message.body)),
        _ => None,
    };
    outputs(node, at, input).into_iter().filter_map(sent).collect()
}

fn outputs(node: &mut Node, at: Time, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    node.step(at, input, &mut out);
    out
}

/// What stands in the log: the terms, from the first index on that is held.
fn terms(node: &mut Node) -> Vec<Term> {
    let log = &inside(node).log;
    (log.base_index() + 1..=log.last_index()).filter_map(|index| log.term_at(index)).collect()
}

/// A heartbeat of n0, which leads in the node's term and has nothing to say.
fn heartbeat() -> Append {
    Append {
        term: TERM,
        prev_index: LAST.1,
        prev_term: LAST.0,
        commit: COMMIT,
        founding_epoch: 0,
        sent_at: Time(77),
        log_time: LogTime(500),
        grant: None,
        entries: Vec::new(),
    }
}

/// The first chunk of a snapshot that is not all of it.
fn chunk(node: &mut Node, term: Term) -> SnapshotChunk {
    let (index, configuration) = inside(node).configurations.front().cloned().expect("configured");
    SnapshotChunk {
        term,
        id: 1,
        base: Base { index, term: 1, time: LogTime(1), configuration, founding_epoch: 0 },
        shard: 0,
        part: 0,
        shard_done: false,
        done: false,
        shard_applied: 1,
        records: Vec::new(),
    }
}

/// A snapshot that a leader of this term has begun to send.
fn install(term: Term) -> Install {
    let chunk = chunk(&mut bound(), term);
    let mut learner = free();
    learner.bind(GENERATION, term, 0);
    tell(&mut learner, &peer(0), Body::SnapshotChunk(chunk));
    inside(&mut learner).install.take().expect("it has begun")
}

/// The leader had so much left of its lease when this node's clock showed `echo`.
fn grant(echo: Time, rest: Span) -> Option<Grant> {
    Some(Grant { echo, rest })
}
