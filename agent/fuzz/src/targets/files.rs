//! What stands in files and variables that somebody else writes. A wrong one is reported in one line that people read,
//! and that holds no secret.

use rauthy_agent::config::{ConfigError, Tokens, hosts};

use crate::random::Random;
use crate::schema::SLOTS;
use crate::{Check, Target, holds};

/// The longest report of what is wrong.
const REPORT: usize = 1000;

fn url(random: &mut Random) -> String {
    let scheme = random.choose(&["https://", "http://", "", "HTTPS://"]).copied().unwrap_or_default();
    let rest = match random.below(4) {
        0 => format!("host-{}:{}", random.below(20), random.number() % 70_000),
        _ => random.choose(&SLOTS).copied().unwrap_or_default().to_owned(),
    };
    let scheme = if random.once_in(6) { scheme } else { "https://" };
    format!("{scheme}{rest}{}", if random.once_in(8) { "/" } else { "" })
}

fn urls(random: &mut Random) -> Vec<String> {
    let most = if random.once_in(20) { 40 } else { 9 };
    let mut all: Vec<String> = (0..1 + random.below(most)).map(|_| url(random)).collect();
    if !random.once_in(8) {
        all.sort();
        all.dedup();
    }
    all
}

fn reported(error: &ConfigError) -> Result<(), String> {
    let words = error.to_string();
    let plain = words.len() <= REPORT && !words.chars().any(char::is_control);
    holds(plain, || format!("{} bytes are reported: {words:?}", words.len()))
}

/// The file that `HA_HOSTS_FILE` names.
pub struct HostList;

impl Target for HostList {
    fn name(&self) -> &'static str {
        "hosts-file"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let mut list = serde_json::json!({ "epoch": random.number(), "now": urls(random) });
        match random.below(3) {
            0 => list["next"] = serde_json::json!(urls(random)),
            1 => list["next"] = serde_json::Value::Null,
            _ => {}
        }
        if random.once_in(20) {
            list["x".repeat(random.below(3000))] = serde_json::Value::Null;
        }
        list.to_string().into_bytes()
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let read = hosts::from_json("HA_HOSTS_FILE", text);
        Some(Box::new(move || {
            let list = match read {
                Ok(list) => list,
                Err(error) => return reported(&error),
            };
            let urls = |slots: &[rauthy_core::Slot]| {
                slots.iter().map(|s| format!("https://{s}")).collect::<Vec<_>>()
            };
            let next = list.next.as_deref().map(urls);
            let text = serde_json::json!({ "epoch": list.epoch, "now": urls(&list.now), "next": next });
            let again = hosts::from_json("HA_HOSTS_FILE", &text.to_string());
            holds(again.as_ref() == Ok(&list), || format!("{list:?} is read as {again:?}"))?;
            for slot in list.slots() {
                holds(hosts::port(&slot) != 0 && !hosts::host(&slot).is_empty(), || {
                    format!("{slot} is no slot")
                })?;
            }
            Ok(())
        }))
    }
}

/// The variable `HA_HOSTS`.
pub struct HostsVariable;

impl Target for HostsVariable {
    fn name(&self) -> &'static str {
        "hosts-variable"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let between = random.choose(&[",", ", ", " ,\n"]).copied().unwrap_or_default();
        let mut text = urls(random).join(between);
        if random.once_in(4) {
            text.push(',');
        }
        text.into_bytes()
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let read = hosts::from_csv("HA_HOSTS", text);
        Some(Box::new(move || {
            let list = match read {
                Ok(list) => list,
                Err(error) => return reported(&error),
            };
            let text = list.now.iter().map(|slot| format!("http://{slot}")).collect::<Vec<_>>().join(",");
            let again = hosts::from_csv("HA_HOSTS", &text);
            holds(again.as_ref() == Ok(&list), || format!("{list:?} is read as {again:?}"))
        }))
    }
}

/// The file that `CACHE_AUTH_TOKEN_FILE` names.
pub struct Token;

impl Target for Token {
    fn name(&self) -> &'static str {
        "token-file"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let lines = 1 + random.below(3);
        let line = |random: &mut Random| {
            let letters = b"abcdefghijklmnop0123456789-_ ";
            let len = 10 + random.below(30);
            (0..len).map(|_| random.choose(letters).copied().unwrap_or(b'x')).collect::<Vec<u8>>()
        };
        (0..lines).flat_map(|_| line(random).into_iter().chain([b'\n'])).collect()
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let read = Tokens::parse("CACHE_AUTH_TOKEN_FILE", text);
        Some(Box::new(move || {
            let said = match &read {
                Ok(tokens) => format!("{tokens:?}"),
                Err(error) => {
                    reported(error)?;
                    error.to_string()
                }
            };
            for line in text.lines().map(str::trim).filter(|line| line.len() >= 16) {
                holds(!said.contains(line), || format!("a secret is told: {said}"))?;
            }
            Ok(())
        }))
    }
}
