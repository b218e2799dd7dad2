//! Valid messages, or nearly so, of any type of the `.proto` files.
//!
//! Their descriptors say which fields there are. What a field means its name tells: a slot, a boot, a cache's name. Most
//! of what is made can be understood; a part of it goes to the bounds and beyond.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::random::Random;

/// Slots that messages speak of; the first is the one that receives, the second the one that sends.
pub const SLOTS: [&str; 4] = ["a.rauthy:8000", "b.rauthy:8000", "10.0.0.3:8000", "[fd00::4]:8000"];
/// Name of the cluster.
pub const CLUSTER: &str = "fuzz";

/// All types, by their full names.
#[derive(Debug)]
pub struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<i32>>,
}

impl Schema {
    /// That of `rauthy-proto`.
    ///
    /// # Errors
    /// If its descriptors cannot be read.
    pub fn new() -> Result<Self, prost::DecodeError> {
        let set = FileDescriptorSet::decode(rauthy_proto::DESCRIPTORS)?;
        let mut schema = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in set.file {
            let package = format!(".{}", file.package());
            for one in &file.enum_type {
                let values = one.value.iter().map(|v| v.number()).collect();
                schema.enums.insert(format!("{package}.{}", one.name()), values);
            }
            for message in file.message_type {
                for one in &message.enum_type {
                    let values = one.value.iter().map(|v| v.number()).collect();
                    schema.enums.insert(format!("{package}.{}.{}", message.name(), one.name()), values);
                }
                schema.messages.insert(format!("{package}.{}", message.name()), message);
            }
        }
        Ok(schema)
    }

    /// A message of this type, such as `.rauthy.mesh.v1.Frame`; empty if there is none.
    #[must_use]
    pub fn message(&self, name: &str, random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        self.put_message(name, random, &mut State::default(), &mut out);
        out
    }

    fn put_message(&self, name: &str, random: &mut Random, state: &mut State, out: &mut Vec<u8>) {
        let Some(message) = self.messages.get(name) else { return };
        // Of each oneof one, and now and then none or all.
        let chosen: Vec<Option<usize>> = (0..message.oneof_decl.len())
            .map(|oneof| {
                let of: Vec<usize> = fields_of(message, oneof).collect();
                if random.once_in(40) { None } else { random.choose(&of).copied() }
            })
            .collect();
        for (at, field) in message.field.iter().enumerate() {
            let times = match field.oneof_index.and_then(|o| usize::try_from(o).ok()) {
                _ if field.label() == Label::Repeated => many(random),
                Some(_) if field.proto3_optional() => random.below(2),
                Some(oneof) => {
                    usize::from(chosen.get(oneof).copied().flatten() == Some(at) || random.once_in(60))
                }
                None if field.r#type() == Type::Message => usize::from(!random.once_in(30)),
                None => usize::from(!random.once_in(20)),
            };
            for time in 0..times {
                // Many of many would take all the time.
                if time > 2 && state.fields > FIELDS {
                    break;
                }
                state.fields += 1;
                self.put_field(message.name(), field, random, state, out);
            }
        }
    }

    fn put_field(
        &self,
        of: &str,
        field: &FieldDescriptorProto,
        random: &mut Random,
        state: &mut State,
        out: &mut Vec<u8>,
    ) {
        let key = |wire: u64| u64::try_from(field.number()).unwrap_or(0) << 3 | wire;
        match field.r#type() {
            Type::Message => {
                let mut inner = Vec::new();
                self.put_message(field.type_name(), random, state, &mut inner);
                put(key(2), &inner, out);
            }
            Type::String => put(key(2), text(field.name(), random).as_bytes(), out),
            Type::Bytes => put(key(2), &bytes(field.name(), random), out),
            Type::Bool => varint2(key(0), random.draw() & 1, out),
            Type::Enum => {
                let values = self.enums.get(field.type_name()).map_or(&[][..], Vec::as_slice);
                let value = random.choose(values).copied().unwrap_or(0);
                let value =
                    if random.once_in(30) { random.draw() } else { u64::try_from(value).unwrap_or(0) };
                varint2(key(0), value, out);
            }
            _ => varint2(key(0), state.number(of, field.name(), random), out),
        }
    }
}

fn fields_of(message: &DescriptorProto, oneof: usize) -> impl Iterator<Item = usize> {
    let belongs = move |field: &FieldDescriptorProto| {
        field.oneof_index.is_some_and(|o| usize::try_from(o) == Ok(oneof)) && !field.proto3_optional()
    };
    message.field.iter().enumerate().filter(move |(_, field)| belongs(field)).map(|(at, _)| at)
}

/// What fields that belong together have said.
#[derive(Debug, Default)]
struct State {
    /// Index of the last entry of an append.
    last: u64,
    /// How many were said.
    fields: usize,
}

/// Beyond so many, lists are short.
const FIELDS: usize = 4000;

impl State {
    fn number(&mut self, of: &str, name: &str, random: &mut Random) -> u64 {
        let number = random.number();
        match (of, name) {
            ("Append", "prev_index") => self.last = number,
            // Entries follow each other.
            ("Entry", "index") if !random.once_in(60) => {
                self.last = self.last.saturating_add(1);
                return self.last;
            }
            ("SnapshotChunk", "shard") => return number % 17,
            ("Hello" | "Challenge", "version_min" | "version_max" | "version") if !random.once_in(8) => {
                return u64::from(*rauthy_proto::handshake::VERSIONS.end());
            }
            _ => {}
        }
        number
    }
}

fn many(random: &mut Random) -> usize {
    match random.below(40) {
        0 => random.below(2000),
        1..=3 => random.below(40),
        _ => random.below(3),
    }
}

fn text(name: &str, random: &mut Random) -> String {
    if random.once_in(50) {
        let lengths = [0, 1, 64, 65, 200, 256, 257, 262, 263, 5000];
        return "x".repeat(random.choose(&lengths).copied().unwrap_or(0));
    }
    match name {
        "cluster" => CLUSTER.into(),
        "to" => SLOTS[0].into(),
        "slot" | "slots" | "now" | "next" | "leader" => {
            if random.once_in(6) {
                rauthy_proto::handshake::OPERATOR.into()
            } else {
                random.choose(&SLOTS).copied().unwrap_or_default().into()
            }
        }
        "ip" => random
            .choose(&["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "nowhere"])
            .copied()
            .unwrap_or_default()
            .into(),
        _ => {
            let words = ["sessions", "codes", "tökens", "c", "a b", "\u{0}\u{1b}[31m"];
            random.choose(&words).copied().unwrap_or_default().into()
        }
    }
}

fn bytes(name: &str, random: &mut Random) -> Vec<u8> {
    if random.once_in(60) {
        let lengths = [0, 15, 16, 17, 31, 32, 33, 24, 64 << 10, (64 << 10) + 1, 1 << 20, (1 << 20) + 1];
        // The large ones seldom: they cost most of the time.
        let most = if random.once_in(20) { lengths.len() } else { 8 };
        return vec![7; lengths.get(random.below(most)).copied().unwrap_or(0)];
    }
    let len = match name {
        "boot" | "generation" => 16,
        "nonce" | "proof" => 32,
        "session" => random.choose(&[0, 24]).copied().unwrap_or(0),
        _ => random.below(24),
    };
    random.bytes(len)
}

/// A field with a length.
pub fn put(key: u64, content: &[u8], out: &mut Vec<u8>) {
    varint2(key, content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint2(key: u64, value: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(key, out);
    prost::encoding::encode_varint(value, out);
}
