//! `rauthy-agent ctl`.
