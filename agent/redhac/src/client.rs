//! What redhac's nodes asked of each other. Nothing is asked this way here; the type stands in public fields.

/// A request of redhac between its nodes; there are none.
#[derive(Clone, Debug)]
pub enum RpcRequest {}
