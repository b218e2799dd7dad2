//! Certificates that are read again when their files change.
