//! The programs on redhac of this repository.

/// Whether the truth is told where redhac does not tell it.
pub const TRUTHFUL: bool = true;

#[path = "../../program/mod.rs"]
mod program;
