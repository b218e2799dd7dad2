//! What cargo-mutants would change: where, by what, and in which function.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// As cargo-mutants names it, with line and column.
    pub(crate) name: String,
    /// Where, relative to the tree.
    pub(crate) file: String,
    /// The function, with its attributes, or the lines of a constant, in bytes of the file.
    pub(crate) function: Range<usize>,
    /// The `{` of the function's body.
    pub(crate) body: usize,
    /// What is replaced.
    pub(crate) span: Range<usize>,
    /// By what.
    pub(crate) replacement: String,
    /// The same as long as neither the function nor the change is another, wherever in the file it stands.
    pub(crate) key: String,
    weavable: bool,
}

impl Mutant {
    /// Whether its function can choose between bodies when it runs.
    pub(crate) fn weavable(&self) -> bool {
        self.weavable
    }
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    file: String,
    function: Option<ListedFunction>,
    span: Span,
    replacement: String,
}

#[derive(Deserialize)]
struct ListedFunction {
    return_type: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

#[derive(Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// Reads the list for the sources in `tree`.
pub(crate) fn read(list: &Path, tree: &Path) -> Result<Vec<Mutant>> {
    let listed: Vec<Listed> = serde_json::from_str(&std::fs::read_to_string(list)?)?;
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut mutants = Vec::new();
    for one in listed {
        if !texts.contains_key(&one.file) {
            let text = std::fs::read_to_string(tree.join(&one.file)).with_context(|| one.file.clone())?;
            texts.insert(one.file.clone(), text);
        }
        let Some(text) = texts.get(&one.file) else { continue };
        let span = bytes(text, &one.span).with_context(|| one.name.clone())?;
        let (within, body, weavable) = match &one.function {
            Some(function) => {
                let within = bytes(text, &function.span).with_context(|| one.name.clone())?;
                let body = within.start + body_of(&text[within.clone()]).with_context(|| one.name.clone())?;
                let mut head = text[within.start..body].split_whitespace();
                let constant = head.any(|word| word == "const");
                (within, body, !constant && !function.return_type.contains("impl "))
            }
            // The value of a constant: there is nothing to choose when it runs.
            None => (lines(text, &span), span.start, false),
        };
        let mut hasher = DefaultHasher::new();
        (&text[within.clone()], span.start - within.start, &one.replacement).hash(&mut hasher);
        let what = one.name.split_once(": ").map_or("", |(_, what)| what);
        let key = format!("{:016x} {}: {what}", hasher.finish(), one.file);
        let (name, file, replacement) = (one.name, one.file, one.replacement);
        mutants.push(Mutant { name, file, function: within, body, span, replacement, key, weavable });
    }
    Ok(mutants)
}

/// Lines and columns, counted from 1, as bytes of the text.
fn bytes(text: &str, span: &Span) -> Option<Range<usize>> {
    let at = |place: &Place| {
        let line: usize = text.split_inclusive('\n').take(place.line.checked_sub(1)?).map(str::len).sum();
        let (column, _) = text.get(line..)?.char_indices().nth(place.column.checked_sub(1)?)?;
        Some(line + column)
    };
    let end = at(&span.end).or((span.end.line > 1).then_some(text.len()))?;
    Some(at(&span.start)?..end)
}

/// The whole lines that something stands in.
fn lines(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
    start..text[span.end..].find('\n').map_or(text.len(), |end| span.end + end)
}

/// Where the body of this function begins: at the brace that its last one closes.
fn body_of(function: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut last = None;
    for (at, brace) in crate::weave::braces(function) {
        match brace {
            '{' => open.push(at),
            _ => last = open.pop(),
        }
    }
    last.filter(|_| open.is_empty())
}
