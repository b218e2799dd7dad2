//! The copy of the workspace: what is written into it, and what cargo says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::Blamed;
use crate::list::Mutant;
use crate::weave::{CHOICE, Woven, weave};

/// The programs that must notice a change.
const PROGRAMS: [&str; 3] = ["rauthy_core", "histories", "stories"];
const LIB: &str = "agent/core/src/lib.rs";

/// The copy, and its sources as they were.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    tree: &'a Path,
    sources: BTreeMap<String, String>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(tree: &'a Path) -> Result<Self> {
        let mut sources = BTreeMap::new();
        let mut folders = vec![PathBuf::from("agent/core/src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(tree.join(&folder))? {
                let path = folder.join(entry?.file_name());
                if tree.join(&path).is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.to_str() {
                    sources.insert(name.to_owned(), fs::read_to_string(tree.join(name))?);
                }
            }
        }
        Ok(Self { tree, sources })
    }

    /// Only what differs: cargo builds anew what was written.
    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.tree.join(file);
        if fs::read_to_string(&path)? != text {
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// All sources as they were.
    pub(crate) fn restore(&self) -> Result<()> {
        self.sources.iter().try_for_each(|(file, text)| self.write(file, text))
    }

    /// Writes this one change and no other.
    pub(crate) fn change(&self, mutant: &Mutant) -> Result<()> {
        for (file, text) in &self.sources {
            if *file == mutant.file {
                let (before, after) = (&text[..mutant.span.start], &text[mutant.span.end..]);
                self.write(file, &format!("{before}{}{after}", mutant.replacement))?;
            } else {
                self.write(file, text)?;
            }
        }
        Ok(())
    }

    /// Writes all of these changes.
    pub(crate) fn weave(&self, mutants: &BTreeMap<u32, &Mutant>) -> Result<BTreeMap<String, Woven>> {
        let mut woven = BTreeMap::new();
        for (file, text) in &self.sources {
            let of_file: Vec<(u32, &Mutant)> =
                mutants.iter().filter(|(_, m)| m.file == *file).map(|(id, m)| (*id, *m)).collect();
            let mut one = weave(text, &of_file);
            if file == LIB {
                one.text.push_str(CHOICE);
            }
            self.write(file, &one.text)?;
            woven.insert(file.clone(), one);
        }
        Ok(woven)
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(self.tree).args([command, "--profile", "mutants", "--message-format", "json"]);
        cargo.args([
            "--package",
            "rauthy-core",
            "--package",
            "rauthy-mutants",
            "--package",
            "rauthy-simulator",
        ]);
        cargo.stderr(Stdio::null());
        cargo
    }

    /// Whose fault it is that the core does not compile.
    pub(crate) fn check(&self, woven: &BTreeMap<String, Woven>) -> Result<Blamed> {
        let output = self.cargo("check").arg("--lib").output()?;
        let mut blamed = Blamed::default();
        let mut strange = Vec::new();
        for message in messages(&output.stdout).filter(|m| m["reason"] == "compiler-message") {
            let message = &message["message"];
            let spans = message["spans"].as_array().into_iter().flatten();
            if message["level"] != "error" || message["spans"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let known = spans.filter(|span| span["is_primary"] == true).any(|span| {
                let line = span["line_start"].as_u64().unwrap_or(0) as usize;
                let file = span["file_name"].as_str().unwrap_or_default();
                let Some(woven) = woven.get(file) else { return false };
                if let Some((_, id)) = woven.changed.iter().find(|(lines, _)| lines.contains(&line)) {
                    blamed.mutants.insert(*id);
                } else if let Some((_, ids)) = woven.functions.iter().find(|(lines, _)| lines.contains(&line))
                {
                    blamed.functions.extend(ids);
                } else {
                    return false;
                }
                true
            });
            if !known {
                strange.push(message["rendered"].as_str().unwrap_or_default().to_owned());
            }
        }
        if !output.status.success() && blamed.is_empty() {
            bail!("no change is to blame for this:\n{}", strange.join("\n"));
        }
        Ok(blamed)
    }

    /// Builds the programs; `None`: what was written does not compile.
    pub(crate) fn programs(&self) -> Result<Option<BTreeMap<String, PathBuf>>> {
        let mut cargo = self.cargo("test");
        let output =
            cargo.args(["--no-run", "--lib", "--test", "histories", "--test", "stories"]).output()?;
        if !output.status.success() {
            return Ok(None);
        }
        let mut programs = BTreeMap::new();
        for message in messages(&output.stdout) {
            let (name, program) = (message["target"]["name"].as_str(), message["executable"].as_str());
            if let (Some(name), Some(program)) = (name, program)
                && PROGRAMS.contains(&name)
            {
                programs.insert(name.to_owned(), PathBuf::from(program));
            }
        }
        let all = PROGRAMS.iter().all(|name| programs.contains_key(*name));
        all.then_some(Some(programs)).context("cargo names too few programs")
    }
}

fn messages(stdout: &[u8]) -> impl Iterator<Item = Value> {
    stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}
