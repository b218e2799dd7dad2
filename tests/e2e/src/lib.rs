//! rauthy-e2e
