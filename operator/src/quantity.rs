//! Kubernetes quantities as whole numbers.

/// Why a quantity was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount; use a number with a unit, such as 128Mi, 1Gi or 500m")]
pub struct NotAQuantity(pub String);

/// The bytes that a quantity of memory means, rounded up.
///
/// # Errors
/// What does not read as a quantity, is negative or exceeds 2^63.
pub fn bytes(text: &str) -> Result<u64, NotAQuantity> {
    thousandths(text).map(|value| u64::try_from(value.div_ceil(1000)).unwrap_or(u64::MAX))
}

/// Checks that a quantity reads as one, whatever it measures.
///
/// # Errors
/// As [`bytes`].
pub fn check(text: &str) -> Result<(), NotAQuantity> {
    thousandths(text).map(|_| ())
}

/// The value times 1000, for `m` is the smallest unit in use.
fn thousandths(text: &str) -> Result<u128, NotAQuantity> {
    let wrong = || NotAQuantity(text.to_owned());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale: u128 = match unit {
        "m" => 1,
        "" => 1000,
        "k" => 1000_u128.pow(2),
        "M" => 1000_u128.pow(3),
        "G" => 1000_u128.pow(4),
        "T" => 1000_u128.pow(5),
        "P" => 1000_u128.pow(6),
        "E" => 1000_u128.pow(7),
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        "Ei" => 1000 << 60,
        exponent => {
            let power = exponent.strip_prefix(['e', 'E']).and_then(|e| e.parse::<u32>().ok());
            1000 * 10_u128.checked_pow(power.filter(|p| *p <= 18).ok_or_else(wrong)?).ok_or_else(wrong)?
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return Err(wrong());
    }
    let parse =
        |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u128>().map_err(|_| wrong()) };
    let whole = parse(whole)?.checked_mul(scale).ok_or_else(wrong)?;
    let fraction = (parse(fraction)? * scale).div_ceil(10_u128.pow(fraction.len() as u32));
    let value = whole.checked_add(fraction).ok_or_else(wrong)?;
    if value > 1000 * (1 << 63) { Err(wrong()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, expected) in [
            ("0", 0),
            ("128Mi", 128 << 20),
            ("1.5Gi", 3 << 29),
            ("1500m", 2),
            ("64M", 64_000_000),
            ("1e6", 1_000_000),
            (".5k", 500),
            ("7", 7),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for wrong in ["", "lots", "-1", "1.2.3", "12 Mi", "1mi", "1e", "9Ei", "1e99", ".", "Mi", "1e-3"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
