//! `rauthy-agent dev`.
