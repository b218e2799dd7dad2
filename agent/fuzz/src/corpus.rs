//! Inputs that are worth to be changed further, and those that found a fault.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Inputs that are kept, at most.
const MOST: usize = 4096;
/// The largest that is kept.
const LARGEST: usize = 64 << 10;

/// Inputs of one target.
#[derive(Debug, Default)]
pub struct Corpus {
    inputs: Vec<Vec<u8>>,
    /// Where they are kept between runs.
    folder: Option<PathBuf>,
}

fn name(bytes: &[u8]) -> String {
    // FNV-1a: only to have a name that the same input always has.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl Corpus {
    /// What a folder holds.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn load(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut inputs = BTreeMap::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            if path.is_file() {
                inputs.insert(path.clone(), std::fs::read(path)?);
            }
        }
        let inputs = inputs.into_values().take(MOST).collect();
        Ok(Self { inputs, folder: Some(folder.to_owned()) })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// One of them.
    pub fn choose(&self, random: &mut Random) -> Option<&[u8]> {
        random.choose(&self.inputs).map(Vec::as_slice)
    }

    /// Keeps one; when there are too many, in the place of another.
    pub fn keep(&mut self, input: &[u8], random: &mut Random) {
        if input.len() > LARGEST {
            return;
        }
        if self.inputs.len() < MOST {
            self.inputs.push(input.to_vec());
        } else {
            let at = random.below(MOST);
            self.inputs[at] = input.to_vec();
        }
        if let Some(folder) = &self.folder {
            // It is only lost for the next run.
            let _ = std::fs::write(folder.join(name(input)), input);
        }
    }
}

/// Writes an input that found a fault; gives its path.
///
/// # Errors
/// If it cannot be written.
pub fn found(folder: &Path, target: &str, input: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{target}-{}", name(input)));
    std::fs::write(&path, input)?;
    Ok(path)
}
