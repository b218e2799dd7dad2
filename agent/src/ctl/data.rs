//! The commands that read and write, and what they print.

use std::io::{IsTerminal, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rauthy_client::{AckLevel, Client, Condition, Error, PutOptions};
use serde_json::json;

use super::Outcome;
use super::commands::{Ack, Key};
use super::paint::printable;
use super::value::ValueView;

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    Json,
    /// The bytes as they are.
    Raw,
    /// On a terminal: escaped where it is no text.
    Escaped,
}

impl Print {
    pub(super) fn new(json: bool, raw: bool) -> Self {
        match (json, raw || !std::io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Raw,
            (false, false) => Self::Escaped,
        }
    }
}

pub(super) async fn get(
    client: &Client,
    key: &Key,
    linearizable: bool,
    print: Print,
) -> Result<Outcome, Error> {
    let bytes = key.bytes()?;
    let found = if linearizable {
        client.get_linearizable(&key.cache, bytes.clone()).await?
    } else {
        client.get(&key.cache, bytes.clone()).await?
    };
    let version = found.as_ref().map(|found| found.version);
    Ok(got(&key.cache, &bytes, found.map(|found| found.value), version, print))
}

pub(super) async fn take(client: &Client, key: &Key, print: Print) -> Result<Outcome, Error> {
    let bytes = key.bytes()?;
    let taken = client.take(&key.cache, bytes.clone(), AckLevel::Quorum).await?;
    Ok(got(&key.cache, &bytes, taken, None, print))
}

fn got(cache: &str, key: &[u8], value: Option<Bytes>, version: Option<u64>, print: Print) -> Outcome {
    if print == Print::Json {
        let outcome = Outcome::json(&ValueView::new(cache, key, value.as_deref(), version));
        return if value.is_some() { outcome } else { outcome.refused() };
    }
    match value {
        Some(value) if print == Print::Raw => Outcome::done(value.to_vec()),
        Some(value) => Outcome::done(format!("{}\n", printable(&value))),
        None => Outcome::done(Vec::new())
            .note(format!(
                "cache \"{}\" has no value under \"{}\"",
                printable(cache.as_bytes()),
                printable(key)
            ))
            .refused(),
    }
}

/// What a put is to be.
pub(super) struct Put {
    pub value: String,
    pub options: PutOptions,
    pub condition: Option<Condition>,
}

pub(super) async fn put(client: &Client, key: &Key, put: Put, json: bool) -> Result<Outcome, Error> {
    let bytes = key.bytes()?;
    let value = if put.value == "-" { stdin()? } else { key.decode("the value", &put.value)? };
    let version = match put.condition {
        Some(condition) => client.put_if(&key.cache, bytes.clone(), value, condition, put.options).await?,
        None => client.put(&key.cache, bytes.clone(), value, put.options).await?,
    };
    Ok(if json {
        written(key, &bytes, &json!({ "version": version }))
    } else {
        Outcome::done(format!("stored, version {version}\n"))
    })
}

pub(super) async fn delete(client: &Client, key: &Key, ack: Ack, json: bool) -> Result<Outcome, Error> {
    let bytes = key.bytes()?;
    let existed = client.delete(&key.cache, bytes.clone(), ack.into()).await?;
    let known = ack.tells();
    Ok(if json {
        written(key, &bytes, &json!({ "existed": known.then_some(existed) }))
    } else {
        Outcome::done(if existed || !known { "deleted\n" } else { "there was no such value\n" })
    })
}

pub(super) async fn increment(
    client: &Client,
    key: &Key,
    by: i64,
    options: PutOptions,
    json: bool,
) -> Result<Outcome, Error> {
    let bytes = key.bytes()?;
    let number = client.increment(&key.cache, bytes.clone(), by, options).await?;
    Ok(if json {
        written(key, &bytes, &json!({ "number": number }))
    } else {
        Outcome::done(format!("{number}\n"))
    })
}

pub(super) async fn clear(client: &Client, cache: &str, json: bool) -> Result<Outcome, Error> {
    let values = client.clear(cache, AckLevel::Quorum).await?;
    Ok(if json {
        Outcome::json(&json!({ "cache": cache, "values": values }))
    } else {
        Outcome::done(format!("{values} values removed\n"))
    })
}

/// What was written, with the names of all answers.
fn written(key: &Key, bytes: &[u8], more: &serde_json::Value) -> Outcome {
    let text = std::str::from_utf8(bytes).ok();
    let mut view = json!({ "cache": key.cache, "key": text });
    if text.is_none() {
        view["key_base64"] = STANDARD.encode(bytes).into();
    }
    for (name, value) in more.as_object().into_iter().flatten() {
        view[name] = value.clone();
    }
    Outcome::json(&view)
}

fn stdin() -> Result<Vec<u8>, Error> {
    let mut value = Vec::new();
    // No further than it takes to see that it is too long.
    let limit = rauthy_client::limits::VALUE as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_end(&mut value)
        .map_err(|e| Error::Invalid(format!("standard input cannot be read: {e}")))?;
    if value.len() as u64 == limit {
        return Err(Error::Invalid(format!(
            "standard input holds more than the {} bytes of a value",
            limit - 1
        )));
    }
    Ok(value)
}
