//! The programs on redhac from crates.io.

/// Whether the truth is told where redhac does not tell it.
pub const TRUTHFUL: bool = false;

#[path = "../../program/mod.rs"]
mod program;
