//! Keys and values that were read, as JSON: text where they are text, base64 where they are not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A value, or that there is none.
#[derive(Debug, Serialize)]
pub(super) struct ValueView<'a> {
    cache: &'a str,
    /// The key, if it is UTF-8.
    key: Option<&'a str>,
    /// The key in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    found: bool,
    /// Absent for what was taken.
    version: Option<u64>,
    /// The value, if it is UTF-8.
    value: Option<&'a str>,
    /// The value in base64, if it is not.
    value_base64: Option<String>,
}

impl<'a> ValueView<'a> {
    pub(super) fn new(cache: &'a str, key: &'a [u8], value: Option<&'a [u8]>, version: Option<u64>) -> Self {
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        let plain = |bytes: &&[u8]| std::str::from_utf8(bytes).is_err();
        Self {
            cache,
            key: text(key),
            key_base64: Some(key).filter(plain).map(|key| STANDARD.encode(key)),
            found: value.is_some(),
            version,
            value: value.and_then(text),
            value_base64: value.filter(plain).map(|value| STANDARD.encode(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let json = serde_json::to_value(ValueView::new("c", b"k", Some(&[0xff, 0]), Some(3))).unwrap();
        assert_eq!(
            (&json["value_base64"], &json["key"], &json["version"]),
            (&"/wA=".into(), &"k".into(), &3.into())
        );
        assert!(json["value"].is_null() && json.get("key_base64").is_none());
        let miss = serde_json::to_value(ValueView::new("c", &[0xff], None, None)).unwrap();
        assert_eq!((&miss["found"], &miss["version"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!((&miss["key_base64"], &miss["key"]), (&"/w==".into(), &serde_json::Value::Null));
    }
}
