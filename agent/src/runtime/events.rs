//! What happens in the core, in words that people understand.

use rauthy_core::Event;

use super::metrics::Metrics;

/// Logs an event and counts what is counted.
pub(super) fn report(event: &Event, metrics: &Metrics) {
    match event {
        Event::Born { boot } => tracing::info!(incarnation = %boot, "a new incarnation, its cache is empty"),
        Event::Bound { generation, founder } => {
            metrics.generations.inc();
            if *founder {
                tracing::info!(%generation, "founded a new generation of the cache, which is empty");
            } else {
                tracing::info!(%generation, "found a generation of the cache and joins it");
            }
        }
        Event::Campaign { term } => tracing::info!(term, "asks to be elected as leader"),
        Event::Leading { term } => tracing::info!(term, "leads"),
        Event::Following { leader, term } => tracing::info!(%leader, term, "follows"),
        Event::SteppedDown { term, reason } => tracing::warn!(term, reason, "leads no more"),
        Event::Configured { index, configuration } => {
            let members: Vec<String> = configuration.seated().iter().map(ToString::to_string).collect();
            let epoch = configuration.epoch;
            tracing::info!(index, epoch, members = members.join(" "), "the seats are agreed on");
        }
        Event::SnapshotStarted { to } => tracing::info!(%to, "copies the cache to a member"),
        Event::SnapshotInstalled { index } => tracing::info!(index, "has a copy of the cache"),
        Event::Wiped { reason } => tracing::error!(reason, "the cache of this member is wiped"),
        Event::HostsChanged { epoch } => tracing::info!(epoch, "the host list has changed"),
        Event::Resizing { epoch } => tracing::info!(epoch, "the size of the cluster changes"),
        Event::HandedOver => tracing::info!("leads no more, or never did: leadership is handed over"),
    }
}
