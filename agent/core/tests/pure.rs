//! The core is driven from outside: it depends on no async runtime, clock, thread or source of randomness.
//!
//! Two guards besides `clippy.toml` (which knows types and methods, but only when `make lint` runs): the tree of
//! crates that a build of the core pulls in, with every feature and for every target, and the words of its sources.
//! Its unit tests are no part of the core: they may start threads.

// What the core may not do, its test must: read files and start cargo.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that is built into the core. What is added here must itself be free of clocks, threads and I/O.
const CRATES: [&str; 4] = ["bytes", "hashbrown", "rauthy-core", "triomphe"];

/// Words that stand in no source file of the core, whatever they are written after.
const WORDS: [&str; 24] = [
    "Instant",
    "SystemTime",
    "RandomState",
    "DefaultHasher",
    "DefaultHashBuilder",
    "UNIX_EPOCH",
    "spawn",
    "sleep",
    "thread",
    "thread_local",
    "async",
    "await",
    "tokio",
    "futures",
    "rand",
    "getrandom",
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
    "stdin",
    "stdout",
    "unsafe",
];

/// All that is used of hashbrown, named in full: its maps and sets would bring a hasher of their own, and orders that clippy
/// does not know.
const OF_HASHBROWN: [&str; 2] = ["::", "HashTable"];

/// Parts of the standard library that stand in no path of the core, nor in a `use std::{…}`.
const MODULES: [&str; 8] = ["time", "thread", "net", "fs", "io", "os", "process", "env"];

#[test]
fn nothing_but_the_allowed_crates_is_built_into_it() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "rauthy-core", "--edges", "normal,build", "--target", "all"])
        .args(["--all-features", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(crates, BTreeSet::from(CRATES), "{tree}");
}

#[test]
fn no_source_file_names_a_clock_a_thread_or_io() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 20, "where are the sources? {files:?}");
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        found.extend(
            impure(&text).into_iter().map(|(line, word)| format!("{}:{line}: {word}", file.display())),
        );
    }
    assert!(found.is_empty(), "the core is pure, these words do not belong there:\n{}", found.join("\n"));
}

#[test]
fn the_guard_sees_what_it_is_for() {
    let seen = |text: &str| impure(text).into_iter().map(|(_, word)| word).collect::<Vec<_>>();
    assert_eq!(seen("let now = t::Instant::now();"), ["Instant"]);
    assert_eq!(seen("use std::{\n    collections::BTreeMap,\n    time::Duration,\n};"), ["time"]);
    assert_eq!(seen("let x = std :: fs::read(p);"), ["fs"]);
    assert_eq!(seen("use core::time as t;"), ["time"]);
    assert_eq!(seen("use hashbrown::HashMap;\nlet s = hashbrown::HashSet::new();"), ["hashbrown"; 2]);
    assert_eq!(seen("use hashbrown::{HashTable, hash_map}; use hashbrown as h;"), ["hashbrown"; 2]);
    assert!(seen("use hashbrown::HashTable;").is_empty());
    assert_eq!(seen("let a = \"\\\"\"; thread::spawn(f)"), ["thread", "spawn"]);
    assert_eq!(seen("'\"'; println!(\"x\")"), ["println"]);
    assert!(seen("// std::thread\n/* an Instant /* or */ two */ /// tokio\n").is_empty());
    assert!(seen("let s = \"Instant\"; let r = r#\"std::\"fs\"#; self.time.io(entry.time)").is_empty());
    assert!(seen("use std::collections::BTreeMap; fn time(io: &'static str) {}").is_empty());
    assert_eq!(seen("#[cfg(test)]\nmod tests { fn f() { spawn(); } }\nfn g() { sleep() }"), ["sleep"]);
    assert_eq!(impure("\n// x\n\n\"a\nb\" Instant"), [(5, "Instant".to_owned())], "on its own line");
}

/// The Rust files at or below `dir`, without those of unit tests.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The forbidden words of a source text with their lines, without those in comments, literals and unit tests.
fn impure(text: &str) -> Vec<(usize, String)> {
    let tokens = without_tests(tokens(text));
    let mut found = Vec::new();
    // Depth of braces inside a `use std::{…}` or `std::` path; `None` outside.
    let mut group: Option<usize> = None;
    for (at, (line, token)) in tokens.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).and_then(|i| tokens.get(i)).map(|(_, t)| t.as_str());
        let after_std = before(1) == Some("::") && matches!(before(2), Some("std" | "core"));
        match token.as_str() {
            "{" if after_std => group = Some(1),
            "{" => group = group.map(|depth| depth + 1),
            "}" => group = group.and_then(|depth| depth.checked_sub(1)).filter(|depth| *depth > 0),
            word => {
                let first_in_group = group == Some(1) && matches!(before(1), Some("{" | ","));
                let module = MODULES.contains(&word) && (after_std || first_in_group);
                let next = tokens.iter().skip(at + 1).map(|(_, t)| t.as_str()).take(2);
                let map = word == "hashbrown" && !next.eq(OF_HASHBROWN);
                if WORDS.contains(&word) || module || map {
                    found.push((*line, word.to_owned()));
                }
            }
        }
    }
    found
}

/// Leaves out the bodies of `#[cfg(test)] mod name { … }`.
fn without_tests(tokens: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    // Open braces of the module that is left out.
    let mut depth = 0;
    for (line, token) in tokens {
        match token.as_str() {
            "{" if depth > 0 => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "{" => {
                let tail = out.len().saturating_sub(9);
                let head: Vec<&str> = out[tail..].iter().map(|(_, token)| token.as_str()).collect();
                depth = usize::from(matches!(head[..], ["#", "[", "cfg", "(", "test", ")", "]", "mod", _]));
                out.push((line, token));
            }
            _ if depth > 0 => {}
            _ => out.push((line, token)),
        }
    }
    out
}

/// Identifiers, `::` and single other characters, each with its line.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line) = (0, 1);
    let mut out = Vec::new();
    while at < chars.len() {
        let rest = &chars[at..];
        let skipped = comment(rest).or_else(|| literal(rest));
        let length = match (skipped, rest[0]) {
            (Some(length), _) => length,
            (None, c) if c.is_alphanumeric() || c == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                let length = word.chars().count();
                out.push((line, word));
                length
            }
            (None, ':') if rest.get(1) == Some(&':') => {
                out.push((line, "::".to_owned()));
                2
            }
            (None, c) => {
                if !c.is_whitespace() {
                    out.push((line, c.to_string()));
                }
                1
            }
        };
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    out
}

/// The length of the comment that begins here; block comments nest.
fn comment(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => {
            let (mut at, mut depth) = (2, 1);
            while at < rest.len() && depth > 0 {
                match &rest[at..] {
                    ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
                    ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
                    _ => at += 1,
                }
            }
            Some(at)
        }
        _ => None,
    }
}

/// The length of the text or character literal that begins here; a lifetime is none.
fn literal(rest: &[char]) -> Option<usize> {
    match rest {
        ['r', '#' | '"', ..] => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) != Some(&'"') {
                return None; // a raw identifier
            }
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            let body = 2 + hashes;
            let length = rest[body..].windows(end.len()).position(|w| w == end)?;
            Some(body + length + end.len())
        }
        ['"', ..] => {
            let mut at = 1;
            while at < rest.len() && rest[at] != '"' {
                at += if rest[at] == '\\' { 2 } else { 1 };
            }
            Some((at + 1).min(rest.len()))
        }
        ['\'', '\\', _, tail @ ..] => Some(4 + tail.iter().position(|c| *c == '\'')?),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}
