//! [`start_cluster`]: joins the cluster, and tells the application of its health.

use std::env;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, bail};
use rauthy_agent::config::variables::VARIABLES;
use rauthy_agent::embedded::{Builder, Cache, Config, Filter, Health};
use rauthy_client::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::backend::Backend;
use crate::compat::Compat;
use crate::notify::{CacheNotify, Listener};
use crate::{CacheConfig, QuorumHealthState};

/// How often an agent is asked how it is.
const ASK: Duration = Duration::from_millis(250);

/// What redhac takes where the environment says nothing.
const TLS_DEFAULTS: [(&str, &str); 3] = [
    ("CACHE_TLS_SERVER_CERT", "tls/redhac.cert-chain.pem"),
    ("CACHE_TLS_SERVER_KEY", "tls/redhac.key.pem"),
    ("CACHE_TLS_CLIENT_VALIDATE_DOMAIN", "redhac.local"),
];

type Tell = watch::Sender<Option<QuorumHealthState>>;

/// Starts this member, if `HA_MODE=true`: it listens for the others when this returns. `tx_watch` comes from
/// [`CacheConfig::new`]; `tx_notify` is told what changes; `hostname_overwrite` is who this member is among HA_HOSTS
/// (first label, host, or `host:port`), the name of this host unless given.
///
/// The settings are those of redhac's environment, with the agent's meaning (`rauthy-agent --help`); what is not set is
/// looked for in a file `.env`.
///
/// # Errors
/// If a setting is wrong (the words name it), or the port is taken. redhac panics where this host is not in HA_HOSTS.
pub async fn start_cluster(
    tx_watch: watch::Sender<Option<QuorumHealthState>>,
    cache_config: &mut CacheConfig,
    tx_notify: Option<mpsc::Sender<CacheNotify>>,
    hostname_overwrite: Option<String>,
) -> anyhow::Result<()> {
    if let Err(error) = Compat::from_env() {
        bail!(error);
    }
    if !cache_config.shared.cluster {
        tracing::info!("HA_MODE is not true: the cache is this process's own");
        return Ok(());
    }
    if cache_config.shared.backend.initialized() && !cache_config.has_agent() {
        bail!("this CacheConfig was started already");
    }
    if cache_config.has_agent() {
        let backend = cache_config.backend().await?;
        let Backend::Agent(client) = backend else { bail!("this CacheConfig was started already") };
        let mut tasks =
            vec![tokio::spawn(ask(Client::clone(client), cache_config.clone(), tx_watch)).abort_handle()];
        if let Some(tell) = tx_notify {
            let listener = Listener { config: cache_config.clone(), tell };
            tasks.push(tokio::spawn(listener.follow_agent(Client::clone(client))).abort_handle());
        }
        cache_config.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
        return Ok(());
    }
    let cache = Cache::start(settings(hostname_overwrite)?).await?;
    if cache_config.shared.backend.set(Backend::embedded(&cache)).is_err() {
        cache.shutdown().await;
        bail!("this CacheConfig was started already");
    }
    if let Some(tell) = tx_notify {
        // From the first moment on: what changes later is told.
        let watcher = cache.watch(Filter::default(), None);
        let listener = Listener { config: cache_config.clone(), tell };
        tokio::spawn(listener.follow_node(watcher));
    }
    tokio::spawn(follow(cache, cache_config.clone(), tx_watch));
    Ok(())
}

fn settings(me: Option<String>) -> anyhow::Result<Config> {
    let mut builder = Config::builder().or_environment().variable("HA_MODE", "true");
    let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if let Ok(lines) = dotenvy::dotenv_iter() {
        for (name, value) in lines.map_while(Result::ok) {
            let known = VARIABLES.iter().find(|variable| variable.name == name && variable.name != "HA_MODE");
            if let Some(variable) = known.filter(|variable| !is_set(variable.name)) {
                builder = builder.variable(variable.name, value);
            }
        }
    }
    builder = TLS_DEFAULTS.into_iter().fold(builder, Builder::or_default);
    if let Some(me) = me {
        builder = builder.me(&me);
    }
    builder.build().context("the cache cannot be started")
}

/// Tells the health of the node in this process, and every generation of the cache what it may hold.
async fn follow(cache: Cache, config: CacheConfig, tell: Tell) {
    let mut health = cache.health();
    let mut told = None;
    loop {
        let now = health.borrow_and_update().clone();
        let _ = tell.send(Some(QuorumHealthState::from(&now)));
        declare(&config, &now, &mut told).await;
        if now.stopped || health.changed().await.is_err() {
            return;
        }
    }
}

/// The same for an agent. When it is not reached there is no quorum, as far as this process is concerned.
async fn ask(client: Client, config: CacheConfig, tell: Tell) {
    let mut look = interval(ASK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, mut told) = (None, None);
    loop {
        look.tick().await;
        let now = client.status().await.map_or_else(|_| Health::default(), |status| Health::of(&status));
        if known.as_ref() != Some(&now) {
            let _ = tell.send(Some(QuorumHealthState::from(&now)));
            known = Some(now.clone());
        }
        declare(&config, &now, &mut told).await;
    }
}

/// Declares all caches to a generation that was not told yet; it begins with none.
async fn declare(config: &CacheConfig, now: &Health, told: &mut Option<String>) {
    if !now.ready || *told == now.generation {
        return;
    }
    let Ok(backend) = config.backend().await else { return };
    for name in config.names() {
        config.forgotten(&name);
        if let Err(error) = config.tell(backend, &name).await {
            // The first write to it tries again.
            tracing::debug!("cache {name} is not declared yet: {error}");
        }
    }
    told.clone_from(&now.generation);
}
