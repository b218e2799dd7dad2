//! How long an answer may take.

use std::time::Duration;

use rauthy_client::limits;
use tonic::metadata::MetadataMap;

/// No caller waits longer than this, whatever he asks for.
pub const LONGEST: Duration = Duration::from_secs(600);

/// How long the answer may take. A little less than the caller waits, so that he gets the reason and not silence: at
/// his own deadline the transport cancels the call.
#[must_use]
pub fn time_left(metadata: &MetadataMap) -> Duration {
    within(asked(metadata))
}

/// What the caller asked for.
pub(super) fn asked(metadata: &MetadataMap) -> Option<Duration> {
    metadata.get("grpc-timeout").and_then(|t| t.to_str().ok()).and_then(grpc_timeout)
}

/// As [`time_left`], of what was asked for.
pub(super) fn within(asked: Option<Duration>) -> Duration {
    let whole = asked.unwrap_or(limits::DEADLINE).min(LONGEST);
    whole - (whole / 10).min(Duration::from_millis(50))
}

/// Parses the header of the gRPC specification: at most eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let split = text.len().checked_sub(1).filter(|digits| (1..=8).contains(digits))?;
    let (digits, unit) = (text.get(..split)?, text.get(split..)?);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_from_the_header() {
        assert_eq!(grpc_timeout("200m"), Some(Duration::from_millis(200)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(grpc_timeout("1234000u"), Some(Duration::from_micros(1_234_000)));
        for wrong in ["", "m", "5", "5x", "+5S", "-5S", "123456789S", "5 S", "é", "1é"] {
            assert_eq!(grpc_timeout(wrong), None, "{wrong}");
        }
        let mut metadata = MetadataMap::new();
        assert_eq!(time_left(&metadata), Duration::from_millis(4950));
        metadata.insert("grpc-timeout", "100m".parse().unwrap());
        assert_eq!(time_left(&metadata), Duration::from_millis(90));
        metadata.insert("grpc-timeout", "99999999H".parse().unwrap());
        assert_eq!(time_left(&metadata), LONGEST - Duration::from_millis(50));
    }
}
