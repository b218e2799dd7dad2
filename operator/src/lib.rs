//! rauthy-operator
