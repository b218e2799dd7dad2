//! rauthy-probe
