//! rauthy-client
