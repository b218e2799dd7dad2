//! rauthy-simulator
