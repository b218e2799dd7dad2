//! What can be wrong with a message of a peer.

/// A message that means nothing. Nothing of it is acted upon, and the stream that brought it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A part is missing that every such message has.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A name of wrong length.
    #[error("{0} has not 16 bytes")]
    NotAName(&'static str),
    /// It ends too early.
    #[error("a message ends too early")]
    Short,
    /// Bytes that are no text.
    #[error("{0} is no text")]
    NotText(&'static str),
    /// A part that is no protocol buffer of its kind, or has too many parts.
    #[error("{0} cannot be read")]
    Inner(&'static str),
    /// Longer, larger or more than is possible, or the same twice.
    #[error("{0} is out of bounds")]
    Bounds(&'static str),
    /// One of a set that this version of the format does not have.
    #[error("{0} is not known")]
    Unknown(&'static str),
}
