//! Rule 11: who gets a snapshot, how it comes over in pieces, and who may install one.

use super::*;
use crate::log::Op;
use crate::message::SnapshotReply;
use crate::node::snapshot::Sending;
use crate::store::SHARDS;

/// Big enough that some shards take several pieces.
const VALUE: usize = 100 << 10;
const VALUES: u32 = 96;

fn values() -> Vec<Payload> {
    let put = |i: u32| Op::Put {
        cache: Arc::from(CACHE),
        key: Bytes::from(i.to_be_bytes().to_vec()),
        value: Bytes::from(vec![i as u8; VALUE]),
        expires_at: None,
        condition: Condition::Always,
    };
    (0..VALUES).map(|i| Payload::Write { tag: None, op: put(i) }).collect()
}

/// It serves, and its log begins after what is committed. n7 learns and has answered.
fn sending() -> Node {
    sending_of(Vec::new())
}

fn sending_of(payloads: Vec<Payload>) -> Node {
    let mut node = serving_after(Settings { ring_bytes: 0, ..settings() }, payloads);
    step(&mut node, NOW, Input::Tick);
    assert_eq!(inside(&mut node).log.base_index(), inside(&mut node).commit);
    learner(&mut node, 7).answered_at = Some(NOW);
    node
}

fn chunks(outputs: Vec<Output>) -> Vec<(Slot, SnapshotChunk)> {
    let chunk = |output| match output {
        Output::Send(Message { to, body: Body::SnapshotChunk(chunk), .. }) => Some((to, chunk)),
        _ => None,
    };
    outputs.into_iter().filter_map(chunk).collect()
}

/// The piece that it sends now.
fn first_chunk(node: &mut Node) -> SnapshotChunk {
    let mut sent = chunks(outputs(node, NOW, Input::Tick));
    assert_eq!(sent.len(), 1);
    let (to, chunk) = sent.remove(0);
    assert_eq!(to, slot(7));
    chunk
}

/// What it sends next when n7 says this.
fn answered(node: &mut Node, reply: SnapshotReply) -> Option<SnapshotChunk> {
    let message = message(node, &peer(7), Body::SnapshotReply(reply));
    chunks(outputs(node, NOW, Input::Message(message))).pop().map(|(_, chunk)| chunk)
}

fn reply(chunk: &SnapshotChunk) -> SnapshotReply {
    let (shard, part) = if chunk.shard_done { (chunk.shard + 1, 0) } else { (chunk.shard, chunk.part + 1) };
    SnapshotReply { term: chunk.term, id: chunk.id, shard, part, installed: false, restart: false }
}

fn being_sent(node: &mut Node) -> Option<&Sending> {
    leader(node).progress.get(&peer(7)).and_then(|progress| progress.sending.as_ref())
}

#[test]
fn a_learner_that_holds_nothing_and_has_answered_gets_one() {
    type Edit = fn(&mut Node);
    let cases: [(&str, Edit, bool); 5] = [
        ("", |_| (), true),
        (
            "it has not answered",
            |n| {
                learner(n, 7).answered_at = None;
                n.on_ping(
                    peer(7),
                    Some(GENERATION),
                    &crate::message::Ping { free: false, leader_heard: None, epoch: 0, term: TERM },
                );
                n.hosts = HostList { epoch: 1, next: Some(vec![slot(1), slot(7)]), ..fixed(3) };
            },
            false,
        ),
        (
            "the log still holds what it needs",
            |n| {
                let base = inside(n).log.base_index();
                learner(n, 7).next = base + 1;
            },
            false,
        ),
        (
            "it needs one more than the log holds",
            |n| {
                let base = inside(n).log.base_index();
                learner(n, 7).next = base;
            },
            true,
        ),
        ("it holds something", |n| learner(n, 7).matched = 1, false),
    ];
    for (case, edit, expected) in cases {
        let mut node = sending();
        edit(&mut node);
        assert_eq!(chunks(outputs(&mut node, NOW, Input::Tick)).len(), usize::from(expected), "{case}");
        assert!(leader(&mut node).progress.contains_key(&peer(7)), "{case}");
        let pinned = learner(&mut node, 7).pinned;
        let commit = inside(&mut node).commit;
        assert_eq!(pinned, expected.then_some(commit), "{case}: what follows it is kept");
    }
    // A voter learns anew instead.
    let mut node = sending();
    let voter = leader(&mut node).progress.get_mut(&peer(0)).expect("known");
    (voter.next, voter.matched) = (1, 0);
    let sent = chunks(outputs(&mut node, NOW, Input::Tick));
    assert!(sent.iter().all(|(to, _)| *to != slot(0)), "{sent:?}");
}

#[test]
fn a_snapshot_comes_over_in_pieces_and_is_whole() {
    let mut node = sending_of(values());
    let base = inside(&mut node).commit;
    let mut new = Node::new(Settings::new(slot(7)), fixed(3), [9; 4], Time(0));
    let mut chunk = first_chunk(&mut node);
    assert_eq!((chunk.base.index, chunk.base.term, chunk.term), (base, TERM, TERM));
    assert_eq!(Some(chunk.base.time), inside(&mut node).log.time_at(base));
    let (mut pieces, mut parts) = (0, 0);
    loop {
        pieces += 1;
        parts = parts.max(chunk.part);
        let size: usize = chunk.records.iter().map(|record| record.size()).sum();
        assert!(size < (256 << 10) + VALUE + 1000, "{size}");
        assert_eq!(chunk.done, chunk.shard_done && chunk.shard + 1 == SHARDS);
        let (to, to_boot) = (slot(7), None);
        let from = node.me().clone();
        let told = |body| Message { from, to, to_boot, generation: Some(GENERATION), body };
        let mut said = step(&mut new, NOW, Input::Message(told(Body::SnapshotChunk(chunk.clone()))));
        let Some(Body::SnapshotReply(reply)) = said.pop() else { panic!("it answers each") };
        assert_eq!(reply.installed, chunk.done);
        match answered(&mut node, reply) {
            Some(next) => chunk = next,
            None => break,
        }
    }
    assert!(chunk.done && pieces > SHARDS && parts > 0, "{pieces} pieces");
    assert!(being_sent(&mut node).is_none());
    let progress = leader(&mut node).progress.get(&peer(7)).expect("known");
    assert_eq!((progress.matched, progress.next), (base, base + 1), "the log goes on where it ends");
    assert_eq!(new.replica.store().digest(), node.replica.store().digest());
    let inside = new.inside().expect("bound");
    assert_eq!((inside.commit, inside.log.base_index(), inside.log.last_term()), (base, base, TERM));
    assert_eq!((inside.installing, inside.configurations.len()), (false, 1));
}

#[test]
fn a_piece_is_sent_again_when_no_answer_came_and_given_up_after_long() {
    let again = |node: &mut Node, at: Time| {
        node.now = at;
        node.tend_snapshots();
        chunks(std::mem::take(&mut node.outbox.out)).pop().map(|(_, chunk)| chunk)
    };
    let mut node = sending();
    let first = first_chunk(&mut node);
    assert_eq!(again(&mut node, NOW + L), None);
    let late = NOW + Span(L.0 + 1);
    assert_eq!(again(&mut node, late), Some(first.clone()));
    assert_eq!(again(&mut node, late), None, "once");
    // Since it last answered.
    assert!(again(&mut node, NOW + L.times(5)).is_some());
    assert!(being_sent(&mut node).is_some());
    assert_eq!(again(&mut node, NOW + L.times(5) + Span(1)), None);
    assert!(being_sent(&mut node).is_none());
    assert_eq!(learner(&mut node, 7).pinned, None, "the others need the room");
    let anew = again(&mut node, NOW + L.times(5) + Span(1)).expect("it begins anew");
    assert_eq!((anew.id, anew.shard, anew.part), (first.id + 1, 0, 0));
}

#[test]
fn only_the_answer_to_what_was_sent_brings_the_next_piece() {
    let mut node = sending();
    let first = first_chunk(&mut node);
    let good = reply(&first);
    for bad in [
        SnapshotReply { term: TERM - 1, ..good.clone() },
        SnapshotReply { id: good.id + 1, ..good.clone() },
        SnapshotReply { shard: 0, ..good.clone() },
        SnapshotReply { part: 1, ..good.clone() },
        SnapshotReply { shard: 2, ..good.clone() },
    ] {
        assert_eq!(answered(&mut node, bad.clone()), None, "{bad:?}");
    }
    let second = answered(&mut node, good.clone()).expect("the next one");
    assert_eq!((second.id, second.shard, second.part), (first.id, 1, 0));
    assert_eq!(answered(&mut node, good), None, "a double");
    // It knows nothing of it: anew, under another number.
    assert_eq!(answered(&mut node, SnapshotReply { restart: true, ..reply(&second) }), None);
    assert_eq!(learner(&mut node, 7).pinned, None);
    let anew = first_chunk(&mut node);
    assert_eq!((anew.id, anew.shard, anew.part), (first.id + 1, 0, 0));
}

/// What n7's new node says to a piece: (shard, part, installed, restart).
fn told(node: &mut Node, chunk: SnapshotChunk) -> Option<(u32, u32, bool, bool)> {
    let said = tell(node, &peer(0), Body::SnapshotChunk(chunk));
    match said.as_slice() {
        [] => None,
        [Body::SnapshotReply(r)] => Some((r.shard, r.part, r.installed, r.restart)),
        other => panic!("it said {other:?}"),
    }
}

#[test]
fn whoever_holds_nothing_begins_with_the_first_piece_of_a_newer_one() {
    let first = chunk(&mut bound(), TERM);
    let piece = |id, part| SnapshotChunk { id, part, ..first.clone() };
    let mut node = free();
    assert_eq!(told(&mut node, piece(5, 1)), Some((0, 0, false, true)), "it knows nothing of it");
    assert_eq!(told(&mut node, piece(5, 0)), Some((0, 1, false, false)));
    assert_eq!(told(&mut node, piece(5, 0)), Some((0, 1, false, false)), "a double says what it waits for");
    assert_eq!(told(&mut node, piece(5, 2)), Some((0, 1, false, false)), "so does a gap");
    assert_eq!(told(&mut node, piece(4, 0)), Some((0, 0, false, true)), "an older one begins nothing");
    assert_eq!(told(&mut node, piece(5, 1)), Some((0, 2, false, false)), "and ends nothing");
    assert_eq!(told(&mut node, piece(5, 0)), Some((0, 2, false, false)), "nor does a late double");
    assert_eq!(told(&mut node, piece(6, 0)), Some((0, 1, false, false)), "a newer one begins anew");
    assert_eq!(told(&mut node, piece(5, 2)), Some((0, 0, false, true)));
    let later = SnapshotChunk { term: TERM + 1, ..piece(1, 0) };
    assert_eq!(told(&mut node, later), Some((0, 1, false, false)), "numbers begin anew with each leader");
    assert_eq!(told(&mut node, piece(7, 0)), None, "an earlier leader's");
    assert_eq!(inside(&mut node).acked_at, Some(NOW), "an answer is an ack");
}

#[test]
fn whoever_holds_something_installs_nothing() {
    let first = chunk(&mut bound(), TERM);
    let based = |index| SnapshotChunk { base: Base { index, ..first.base.clone() }, ..first.clone() };
    // It has committed 3.
    for (index, answer) in [(2, Some((0, 0, true, false))), (COMMIT, Some((0, 0, true, false))), (4, None)] {
        let mut node = bound();
        let me = node.me().clone();
        assert_eq!(told(&mut node, based(index)), answer, "{index}");
        assert_eq!(*node.me() != me, answer.is_none(), "it learns anew in a new life: {index}");
        if answer.is_some() {
            assert_eq!(terms(&mut node), [1, 1, 2, 2, 4, 4]);
        }
    }
    // It has acked entries, and knows of nothing that is committed.
    let mut node = free();
    node.bind(GENERATION, TERM, 0);
    inside(&mut node).push(entry(1, 1));
    let me = node.me().clone();
    assert_eq!(told(&mut node, based(4)), None);
    assert_ne!(*node.me(), me);
}
