//! Types that redhac's interface mentions but nobody can name.

/// An ack level as redhac sent it between its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckLevel(pub(crate) crate::AckLevel);
