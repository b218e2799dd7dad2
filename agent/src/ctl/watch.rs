//! `ctl watch`: changes as they come, one a line.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use rauthy_client::Error;
use rauthy_client::limits;
use rauthy_proto::cache::cache_client::CacheClient;
use rauthy_proto::cache::{Change, ChangeKind, WatchRequest};
use serde::Serialize;
use tonic::transport::Endpoint;

use super::paint::{Colour, Paint, printable};

/// What is asked.
pub(super) struct Wanted {
    pub cache: String,
    pub prefix: String,
    pub values: bool,
    /// Base64.
    pub after: Option<String>,
    pub count: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ChangeView<'a> {
    /// put, deleted, taken, expired, evicted, cleared, gap or gone.
    kind: &'static str,
    /// Absent for gaps.
    cache: Option<&'a str>,
    /// The key, if it is UTF-8; absent for gaps and whole caches.
    key: Option<&'a str>,
    /// The key in base64, if it is not.
    key_base64: Option<String>,
    /// The value of a put, if it was asked for and is UTF-8.
    value: Option<&'a str>,
    /// The value in base64, if it is not.
    value_base64: Option<String>,
    /// Index of the log entry that did it; 0 for gaps.
    version: u64,
    /// After this change, in base64: for --after.
    position: String,
}

/// Prints until the agent ends it, so many have come, or nobody reads any more.
pub(super) async fn run(target: &str, wanted: Wanted, json: bool, colours: bool) -> Result<(), Error> {
    let unreachable = |reason: String| Error::Unreachable { target: target.to_owned(), reason };
    let after = match &wanted.after {
        None => Bytes::new(),
        Some(text) => {
            let wrong =
                |e| Error::Invalid(format!("--after: {text} is no base64 ({e}); take a position of -o json"));
            STANDARD.decode(text).map_err(wrong)?.into()
        }
    };
    let endpoint = Endpoint::from_shared(target.to_owned()).map_err(|e| unreachable(e.to_string()))?;
    let channel = endpoint.connect().await.map_err(|e| unreachable(e.to_string()))?;
    let mut client = CacheClient::new(channel).max_decoding_message_size(limits::MESSAGE);
    let request = WatchRequest {
        cache: wanted.cache,
        key_prefix: wanted.prefix.into_bytes().into(),
        after,
        values: wanted.values,
    };
    let failed = |status: tonic::Status| match status.code() {
        tonic::Code::InvalidArgument => Error::Invalid(status.message().to_owned()),
        code => Error::Other { code: format!("{code:?}"), message: status.message().to_owned() },
    };
    let mut stream = client.watch(request).await.map_err(failed)?.into_inner();
    let mut left = wanted.count.unwrap_or(u64::MAX);
    let (mut out, paint) = (std::io::stdout(), Paint(colours));
    while let Some(response) = stream.message().await.map_err(failed)? {
        for change in &response.changes {
            let line = if json { as_json(change) } else { as_text(change, paint, &Timestamp::now()) };
            if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
                // A closed pipe is the reader's wish.
                return Ok(());
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    Err(unreachable("it ended the watch: it is stopping".into()))
}

fn kind(change: &Change) -> &'static str {
    match change.kind() {
        ChangeKind::Unspecified => "unknown",
        ChangeKind::Put => "put",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Taken => "taken",
        ChangeKind::Expired => "expired",
        ChangeKind::Evicted => "evicted",
        ChangeKind::Cleared => "cleared",
        ChangeKind::Gap => "gap",
        ChangeKind::Gone => "gone",
    }
}

fn as_json(change: &Change) -> String {
    let text = |bytes: &Bytes| std::str::from_utf8(bytes).is_ok();
    let plain = |bytes: &Bytes| (!text(bytes)).then(|| STANDARD.encode(bytes));
    let key = Some(&change.key).filter(|key| !key.is_empty());
    let view = ChangeView {
        kind: kind(change),
        cache: Some(change.cache.as_str()).filter(|cache| !cache.is_empty()),
        key: key.and_then(|key| std::str::from_utf8(key).ok()),
        key_base64: key.and_then(plain),
        value: change.value.as_ref().and_then(|value| std::str::from_utf8(value).ok()),
        value_base64: change.value.as_ref().and_then(plain),
        version: change.version,
        position: STANDARD.encode(&change.position),
    };
    let mut line = serde_json::to_string(&view).unwrap_or_default();
    line.push('\n');
    line
}

fn as_text(change: &Change, paint: Paint, now: &Timestamp) -> String {
    let time = now.strftime("%H:%M:%SZ").to_string();
    let name = format!("{:<8}", kind(change));
    let (colour, what) = match change.kind() {
        ChangeKind::Gap => {
            (Colour::Poor, "changes were missed: what is kept from before must be read anew".into())
        }
        ChangeKind::Gone => {
            (Colour::Bad, "all data is gone: what is kept from before must be dropped".into())
        }
        ChangeKind::Put => (Colour::Good, place(change)),
        _ => (Colour::Bold, place(change)),
    };
    format!("{} {} {what}\n", paint.text(Colour::Faint, &time), paint.text(colour, &name))
}

fn place(change: &Change) -> String {
    let mut text = printable(change.cache.as_bytes());
    if !change.key.is_empty() {
        text.push('/');
        text.push_str(&printable(&change.key));
    }
    text.push_str(&format!(" version {}", change.version));
    if let Some(value) = &change.value {
        text.push_str(" = ");
        text.push_str(&printable(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind, key: &'static [u8], value: Option<&'static [u8]>) -> Change {
        Change {
            kind: kind.into(),
            cache: "c".into(),
            key: Bytes::from_static(key),
            value: value.map(Bytes::from_static),
            version: 7,
            position: Bytes::from_static(&[1]),
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped_or_base64() {
        let put = change(ChangeKind::Put, b"k\xff", Some(b"\x1b["));
        let text = as_text(&put, Paint(false), &Timestamp::UNIX_EPOCH);
        assert_eq!(text, "00:00:00Z put      c/k\\xff version 7 = \\u{1b}[\n");
        let json: serde_json::Value = serde_json::from_str(&as_json(&put)).unwrap();
        assert_eq!(json["key"], serde_json::Value::Null);
        assert_eq!((&json["key_base64"], &json["value"]), (&"a/8=".into(), &"\u{1b}[".into()));
        assert_eq!(
            (&json["kind"], &json["position"], &json["version"]),
            (&"put".into(), &"AQ==".into(), &7.into())
        );
    }

    #[test]
    fn gaps_say_what_they_mean() {
        let gap = Change { kind: ChangeKind::Gap.into(), ..Change::default() };
        assert!(as_text(&gap, Paint(false), &Timestamp::UNIX_EPOCH).contains("read anew"));
        let json: serde_json::Value = serde_json::from_str(&as_json(&gap)).unwrap();
        assert_eq!((&json["kind"], &json["cache"]), (&"gap".into(), &serde_json::Value::Null));
        let cleared = change(ChangeKind::Cleared, b"", None);
        assert_eq!(
            as_text(&cleared, Paint(false), &Timestamp::UNIX_EPOCH),
            "00:00:00Z cleared  c version 7\n"
        );
    }
}
