//! rauthy-processes
