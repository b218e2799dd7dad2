//! Programs written for redhac 0.10.5. They are built twice, on redhac from crates.io and on that of this repository, and
//! must find the same, except where [`crate::TRUTHFUL`] says that redhac does not tell the truth.

mod cluster;
mod items;
mod members;
mod single;
pub mod support;
