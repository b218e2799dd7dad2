//! The programs of `tests/redhac-compat`, which are run on redhac from crates.io as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// Whether the truth is told where redhac does not tell it.
pub const TRUTHFUL: bool = true;

#[path = "../../../tests/redhac-compat/program/mod.rs"]
mod program;
