//! The steps by which certificates and tokens are replaced, by the reason of the event that tells of each.

/// The cluster's own authority is a new one; nobody uses it yet.
pub const AUTHORITY_RENEWED: &str = "AuthorityRenewed";
/// A new authority is accepted beside the old one.
pub const AUTHORITY_ADDED: &str = "AuthorityAdded";
/// Another certificate is shown.
pub const CERTIFICATE_REPLACED: &str = "CertificateReplaced";
/// The old authority is accepted no more.
pub const AUTHORITY_DROPPED: &str = "AuthorityDropped";
/// A new token is used, and the old one accepted beside it.
pub const TOKEN_ADDED: &str = "TokenRotation";
/// The old token is accepted no more.
pub const TOKEN_DROPPED: &str = "TokenRotated";
/// The Secret of the token was deleted or edited, and is as it was.
pub const TOKEN_RESTORED: &str = "TokenRestored";
/// The Secret of the token was deleted while nobody looked, and the cluster has another token.
pub const TOKEN_LOST: &str = "TokenLost";
