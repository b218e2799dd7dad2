//! rauthy-agent
