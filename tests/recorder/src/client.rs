//! One client, and what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rauthy_linearizability::session::Observation;
use rauthy_linearizability::{Answer, Condition, Op, Operation, Outcome, Seen, Value};
use tokio::time::Instant;

use crate::caller::{Caller, Mode, Told, Why};
use crate::{Load, Read, Record, is_acknowledged, is_number};

/// One client and what it was told.
pub(crate) struct Client {
    pub(crate) number: u64,
    /// The node that it writes through.
    pub(crate) home: String,
    /// It asks no other node.
    pub(crate) stays: bool,
    pub(crate) caller: Caller,
    pub(crate) random: Random,
    pub(crate) load: Load,
    pub(crate) began: Instant,
    pub(crate) record: Record,
}

impl Client {
    pub(crate) async fn run(
        mut self,
        stop: Arc<AtomicBool>,
        done: Arc<AtomicU64>,
        written: Arc<AtomicU64>,
    ) -> Record {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let before = self.record.operations.len();
            let refused = self.one(n).await;
            let new = &self.record.operations[before..];
            done.fetch_add(new.len() as u64, Ordering::Relaxed);
            written.fetch_add(new.iter().filter(|o| is_acknowledged(o)).count() as u64, Ordering::Relaxed);
            let pause = self.load.pause.as_micros() as u64;
            // Longer after a refusal: not to fill the machine with them while there is no leader.
            let pause = if refused.is_some() { 25_000 + pause } else { pause };
            tokio::time::sleep(Duration::from_micros(self.random.below(pause + 1))).await;
        }
        self.record
    }

    /// Asks for one thing; gives why it was refused, if it was.
    async fn one(&mut self, n: u64) -> Option<Why> {
        let number = self.random.below(self.load.keys as u64) as usize;
        let key = self.load.key(number);
        let anywhere = self.anywhere();
        let dice = self.random.below(100);
        let all = self.random.below(8) == 0;
        let me = self.number;
        let value = || Value::Bytes(format!("{me}-{n}").into_bytes());
        let op = match dice {
            0..15 => return self.read(&self.home.clone(), &key, Mode::Local).await,
            15..35 => return self.read(&anywhere, &key, Mode::Session).await,
            35..55 => return self.read(&anywhere, &key, Mode::Linearizable).await,
            55..65 => Op::Take,
            65..70 => Op::Delete,
            _ if is_number(number) => {
                Op::Increment { by: i64::from(dice.is_multiple_of(2)) * 2 + 1, ttl: None }
            }
            70..85 => Op::put(value()),
            85..95 => Op::put_if(value(), Condition::IfAbsent),
            _ => match self.version(&key) {
                Some(version) => Op::put_if(value(), Condition::IfVersion(version)),
                None => Op::put(value()),
            },
        };
        self.write(&key, op, all).await
    }

    /// The node of a read that may go anywhere.
    fn anywhere(&mut self) -> String {
        let names = self.caller.nodes();
        let any = self.random.below(names.len() as u64) as usize;
        // Whoever waits for another node writes nothing meanwhile, and would show gaps that its own node does not have.
        let other = if self.stays { None } else { names.into_iter().nth(any) };
        other.unwrap_or_else(|| self.home.clone())
    }

    /// A version of the key that this client has read.
    fn version(&self, key: &str) -> Option<u64> {
        let read = self.record.reads.iter().rev().take(50).find(|read| read.seen.key == key)?;
        read.seen.seen.as_ref()?.version
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) async fn read(&mut self, at: &str, key: &str, mode: Mode) -> Option<Why> {
        let call = self.now();
        let Told { outcome, position, error } = self.caller.read(at, key, mode).await;
        let ret = self.now();
        if let Outcome::Done { answer: Answer::Found(seen), .. } = &outcome {
            let (client, key, generation) = (self.number, key.to_owned(), position.map(|p| p.generation));
            let generation = generation.expect("every answer to a read says where it stands");
            let seen = Observation { client, generation, key, call, ret, seen: seen.clone() };
            self.record.reads.push(Read { mode, seen });
        }
        if mode == Mode::Linearizable {
            let generation = position.map(|p| p.generation);
            self.operation(key, call, ret, Op::Read, outcome, generation);
        }
        self.refused(error)
    }

    async fn write(&mut self, key: &str, op: Op, all: bool) -> Option<Why> {
        let call = self.now();
        let Told { outcome, position, error } = self.caller.write(&self.home, key, &op, all).await;
        let ret = self.now();
        let wrote = match (&op, &outcome, position) {
            (Op::Put { value, .. }, Outcome::Done { .. }, Some(p)) => Some((p, Some(value.clone()))),
            (_, Outcome::Done { answer: Answer::Number(n), .. }, Some(p)) => {
                Some((p, Some(Value::Number(*n))))
            }
            (Op::Delete | Op::Take, Outcome::Done { .. }, Some(p)) => Some((p, None)),
            _ => None,
        };
        if let Some((position, value)) = wrote {
            let (client, key, generation) = (self.number, key.to_owned(), position.generation);
            let seen = value.map(|value| Seen { value, version: Some(position.index) });
            let seen = Observation { client, generation, key, call, ret, seen };
            self.record.reads.push(Read { mode: Mode::Session, seen });
            if all {
                self.record.all.push(self.record.operations.len());
            }
        }
        self.operation(key, call, ret, op, outcome, position.map(|p| p.generation));
        // A condition that does not hold is an answer.
        self.refused(error.filter(|why| *why != Why::Refused("VERSION".to_owned())))
    }

    fn operation(
        &mut self,
        key: &str,
        call: u64,
        ret: u64,
        op: Op,
        outcome: Outcome,
        generation: Option<u128>,
    ) {
        let (client, key, ret) = (self.number, key.to_owned(), Some(ret));
        self.record.operations.push(Operation { client, generation, key, call, ret, op, outcome });
    }

    fn refused(&mut self, error: Option<Why>) -> Option<Why> {
        let failures = &mut self.record.failures;
        match &error {
            Some(Why::Refused(reason)) => *self.record.refusals.entry(reason.clone()).or_default() += 1,
            Some(Why::Late) => failures.late += 1,
            Some(Why::Lost(_)) => failures.lost += 1,
            Some(Why::Wrong(words)) if failures.wrong.len() < 5 => failures.wrong.push(words.clone()),
            Some(Why::Wrong(_)) | None => {}
        }
        error
    }
}

/// Random numbers from a seed (SplitMix64: Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % end.max(1)
    }
}
