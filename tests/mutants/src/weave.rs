//! Source texts with many changes in them, of which the environment chooses one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use crate::list::Mutant;

/// Appended to the core's `lib.rs`.
pub(crate) const CHOICE: &str = "
/// Which change is on; 0: none.
#[doc(hidden)]
#[must_use]
pub fn mutant() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static CHOSEN: AtomicU32 = AtomicU32::new(u32::MAX);
    let chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen != u32::MAX {
        return chosen;
    }
    let chosen = std::env::var(\"MUTANT\").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    CHOSEN.store(chosen, Ordering::Relaxed);
    chosen
}
";

/// A woven file: its text, and which lines of it, counted from 1, are whose.
#[derive(Debug, Default)]
pub(crate) struct Woven {
    pub(crate) text: String,
    /// The lines of one change.
    pub(crate) changed: Vec<(Range<usize>, u32)>,
    /// The lines of a function with changes, and what they are.
    pub(crate) functions: Vec<(Range<usize>, Vec<u32>)>,
}

/// Weaves changes of one file into it.
pub(crate) fn weave(text: &str, mutants: &[(u32, &Mutant)]) -> Woven {
    let mut woven = Woven::default();
    let mut at = 0;
    for (function, body, changes) in functions(mutants) {
        woven.text.push_str(&text[at..body]);
        let first = line(&woven.text);
        woven.text.push_str("{ match crate::mutant() {\n");
        for (id, mutant) in &changes {
            let begin = line(&woven.text);
            let (before, after) = (&text[body..mutant.span.start], &text[mutant.span.end..function.end]);
            // Infallible: a String takes everything.
            let _ = writeln!(woven.text, "{id} => {before}{}{after}", mutant.replacement);
            woven.changed.push((begin..line(&woven.text), *id));
        }
        let _ = write!(woven.text, "_ => {}\n}} }}", &text[body..function.end]);
        woven.functions.push((first..line(&woven.text) + 1, changes.iter().map(|(id, _)| *id).collect()));
        at = function.end;
    }
    woven.text.push_str(&text[at..]);
    woven
}

type Changes<'a, 'm> = Vec<(u32, &'m Mutant)>;

/// The outermost functions with changes, in their order; what is inside another one is a change of that.
fn functions<'m>(mutants: &[(u32, &'m Mutant)]) -> Vec<(Range<usize>, usize, Changes<'m, 'm>)> {
    let mut by_start: BTreeMap<(usize, std::cmp::Reverse<usize>), (usize, Changes)> = BTreeMap::new();
    for (id, mutant) in mutants {
        let key = (mutant.function.start, std::cmp::Reverse(mutant.function.end));
        by_start.entry(key).or_insert((mutant.body, Vec::new())).1.push((*id, mutant));
    }
    let mut out: Vec<(Range<usize>, usize, Changes)> = Vec::new();
    for ((start, end), (body, changes)) in by_start {
        match out.last_mut().filter(|(outer, _, _)| start < outer.end) {
            Some((_, _, outer)) => outer.extend(changes),
            None => out.push((start..end.0, body, changes)),
        }
    }
    out
}

fn line(text: &str) -> usize {
    1 + text.bytes().filter(|b| *b == b'\n').count()
}

/// The braces of a source text with their places, without those in comments and literals.
pub(crate) fn braces(text: &str) -> Vec<(usize, char)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += match (byte, bytes.get(at + 1)) {
            (b'/', Some(b'/')) => text[at..].find('\n').unwrap_or(text.len() - at),
            (b'/', Some(b'*')) => text[at..].find("*/").map_or(text.len() - at, |end| end + 2),
            (b'"', _) => string(&bytes[at..]),
            (b'r', Some(b'"')) => text[at + 2..].find('"').map_or(text.len() - at, |end| end + 3),
            (b'r', Some(b'#')) if text[at..].starts_with("r#\"") => {
                text[at..].find("\"#").map_or(text.len() - at, |end| end + 2)
            }
            // A character, or a lifetime.
            (b'\'', Some(b'\\')) => text[at + 2..].find('\'').map_or(1, |end| end + 3),
            (b'\'', Some(_)) if bytes.get(at + 2) == Some(&b'\'') => 3,
            (b'{' | b'}', _) => {
                out.push((at, char::from(*byte)));
                1
            }
            _ => 1,
        };
    }
    out
}

fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_of_literals_and_comments_do_not_count() {
        let text = "a { \"}\\\"{\" '{' '\\'' b'}' r\"{\" r#\"\"}\"# } // {\n /* } */ fn f<'a>(x: &'a str) {}";
        let places: String = braces(text).into_iter().map(|(_, brace)| brace).collect();
        assert_eq!(places, "{}{}");
    }
}
