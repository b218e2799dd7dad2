//! Typed values as bytes: JSON.
//!
//! It names the fields. While an application is updated, its old and its new version read each other's values: a format
//! without names (such as postcard or bincode) would be smaller, but would read one field as another without a word.
//! Programs in other languages read it as well.

use std::any::type_name;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::Error;

/// A value as its bytes.
///
/// # Errors
/// [`Error::Codec`] if the type cannot be written as JSON, for example a map whose keys are no strings.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    // A serializer of the application may put a part of the value into its error.
    let unwritable = |_| Error::Codec { of: type_name::<T>(), what: "it has no form in JSON".into() };
    serde_json::to_vec(value).map(Bytes::from).map_err(unwritable)
}

/// A value from its bytes.
///
/// # Errors
/// [`Error::Codec`] if the bytes are no such value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Codec { of: type_name::<T>(), what: unreadable(&e) })
}

/// The words of the error itself would repeat a part of the value, which may be secret.
fn unreadable(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "it ends too early".into(),
        Category::Syntax => "it is no JSON".into(),
        Category::Data | Category::Io => {
            format!("it has another form (line {}, column {})", error.line(), error.column())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_comes_out_again() {
        let value: BTreeMap<String, Option<u8>> = [("a".to_owned(), Some(1)), ("b".to_owned(), None)].into();
        assert_eq!(decode::<BTreeMap<String, Option<u8>>>(&encode(&value).unwrap()), Ok(value));
        assert_eq!(&*encode("text").unwrap(), br#""text""#);
    }

    #[test]
    fn an_error_never_repeats_the_value() {
        for (bytes, what) in [
            (&br#""a secret""#[..], "another form"),
            (b"a secret", "no JSON"),
            (br#"["a secret", "#, "too early"),
            (b"", "too early"),
        ] {
            let error = decode::<Vec<String>>(bytes).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("Vec") && !error.contains("secret"), "{error}");
        }
        let no_strings: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
        assert!(encode(&no_strings).unwrap_err().to_string().contains("no form"));
    }
}
