//! What an application and the cluster ask of an agent.
