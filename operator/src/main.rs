//! The operator's program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use kube::Client;
use kube::client::ClientBuilder;
use rauthy_operator::agents::ByPodAddress;
use rauthy_operator::leader::Election;
use rauthy_operator::leader::fence::{FenceLayer, Tenure};
use rauthy_operator::metrics::Metrics;
use rauthy_operator::probes::{self, Readiness};
use rauthy_operator::reconcile::Context;
use rauthy_operator::reconcile::credentials::keep::Kept;
use rauthy_operator::reconcile::events::Publisher;
use rauthy_operator::reconcile::monitors::Monitors;
use rauthy_operator::reconcile::validate::Environment;
use rauthy_operator::throttle::{Throttle, ThrottleLayer};
use rauthy_operator::{check, controller, crd, failpoint, render};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Longest wait for the CustomResourceDefinition; it is only looked at to warn.
const CHECK: Duration = Duration::from_secs(10);

/// Runs RauthyClusters on Kubernetes.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Run),
    /// Look whether the operator that is installed can do its work; what `helm test` runs.
    Check(Place),
    /// Print the CustomResourceDefinition.
    Crd {
        /// Write it to crds/ and into the chart instead; run at the top of the repository.
        #[arg(long)]
        write: bool,
    },
    /// Print the objects that a RauthyCluster would get, without a cluster and without secrets.
    Render {
        /// The RauthyCluster, in YAML.
        #[arg(short, long)]
        file: PathBuf,
        /// Image of the agent where the RauthyCluster names none.
        #[arg(long, env = "AGENT_IMAGE", default_value = "rauthy-agent:default")]
        agent_image: String,
    },
}

#[derive(Args)]
struct Place {
    /// Namespace of the Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Name of the Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "rauthy-operator")]
    lease: String,
    /// Namespaces whose RauthyClusters are run, with commas between them; left out: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    watch_namespaces: Vec<String>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    /// Image of the agent for clusters that name none.
    #[arg(long, env = "AGENT_IMAGE")]
    agent_image: Option<String>,
    /// Address of the probes and metrics.
    #[arg(long, env = "PROBE_LISTEN", default_value = "[::]:8080")]
    probes: SocketAddr,
    /// Whether to act only while holding the Lease. Needed with more than one replica.
    #[arg(long, env = "LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    leader_election: bool,
    /// Name of this replica, in the Lease and in events.
    #[arg(long, env = "POD_NAME", default_value = "rauthy-operator")]
    id: String,
    /// What is logged.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Log one JSON object per line instead of text.
    #[arg(long, env = "LOG_JSON", default_value_t = false, action = clap::ArgAction::Set)]
    log_json: bool,
    /// For tests: where to end at once.
    #[arg(long, env = "FAILPOINT", hide = true)]
    failpoint: Option<String>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd { write: true } => crd::generate::write(&PathBuf::from("."))?,
        Command::Crd { write: false } => print!("{}", crd::generate::yaml()?),
        Command::Render { file, agent_image } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            print!("{}", render::render(&text, &agent_image)?);
        }
        Command::Check(place) => {
            install_cryptography()?;
            tokio::runtime::Runtime::new()?.block_on(check(&place))?;
        }
        Command::Run(arguments) => {
            install_cryptography()?;
            tokio::runtime::Runtime::new()?.block_on(run(arguments))?;
        }
    }
    Ok(())
}

fn install_cryptography() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another provider of cryptography is installed"))
}

async fn check(place: &Place) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no Kubernetes to talk to")?;
    let Place { namespace, lease, watch_namespaces: watched } = place;
    let findings = check::check(&client, check::Place { namespace, lease, watched }).await;
    findings.good.iter().for_each(|line| println!("good: {line}"));
    findings.bad.iter().for_each(|line| println!("BAD:  {line}"));
    if findings.bad.is_empty() { Ok(()) } else { bail!("the operator cannot do its work") }
}

async fn run(arguments: Run) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level).with_context(|| {
        format!("LOG_LEVEL `{}` is no level and no filter; try info", arguments.log_level)
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    if arguments.log_json {
        log.json().init()
    } else {
        log.init()
    }

    failpoint::choose(arguments.failpoint.as_deref()).map_err(|error| anyhow!(error))?;
    let mut config = kube::Config::infer().await.context(
        "no Kubernetes to talk to: run it in a pod with a service account, or set KUBECONFIG to a file with a current \
         context",
    )?;
    let (tenure, throttle) = (Arc::new(Tenure::default()), Arc::new(Throttle::default()));
    let for_lease = Client::try_from(config.clone())?;
    // Its own retries would pass a fence once, and write when the Lease is over.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)?.with_layer(&ThrottleLayer(throttle.clone()));
    let client = match arguments.leader_election {
        true => builder.with_layer(&FenceLayer(tenure.clone())).build(),
        false => builder.build(),
    };
    let context = Arc::new(Context {
        client: client.clone(),
        environment: Environment {
            agent_image: arguments.agent_image.clone().filter(|image| !image.is_empty()),
            operator_namespace: Some(arguments.place.namespace.clone()),
        },
        publisher: Publisher::new(client.clone(), arguments.id.clone()),
        agents: Box::new(ByPodAddress),
        monitors: Monitors::default(),
        metrics: Metrics::default(),
        backoff: controller::Backoff::default(),
        kept: Kept::default(),
        throttle,
    });
    let readiness = Arc::new(Readiness::default());
    let probes = tokio::spawn(probes::serve(arguments.probes, readiness.clone(), context.clone()));
    if tokio::time::timeout(CHECK, check_definition(&client)).await.is_err() {
        tracing::warn!("the API server does not answer; the CustomResourceDefinition was not checked");
    }
    let act = async {
        if !arguments.leader_election {
            readiness.set(true);
            controller::run(context.clone(), &arguments.place.watch_namespaces, terminated()?).await;
            return Ok(());
        }
        let Run { place: Place { namespace, lease, .. }, id, .. } = &arguments;
        let mut election = Election::new(for_lease, namespace, lease, id, readiness).granting(tenure);
        tokio::select! {
            () = election.win() => {}
            () = terminated()? => return Ok(()),
        }
        tracing::info!(%lease, %id, "this replica acts");
        context.metrics.leading(true);
        let stopped = tokio::select! {
            () = controller::run(context.clone(), &arguments.place.watch_namespaces, terminated()?) => Ok(()),
            // A round that is under way ends here: another replica may act from now on.
            () = election.keep() => Err(anyhow!("the lease `{lease}` was lost; this replica starts again")),
        };
        if stopped.is_ok() {
            election.release().await;
        }
        stopped
    };
    tokio::select! {
        result = act => result,
        result = probes => match result {
            Ok(Err(error)) => Err(error).with_context(|| format!("the probes cannot be served on {}", arguments.probes)),
            Ok(Ok(())) => bail!("the probes' server ended"),
            Err(error) => Err(error.into()),
        },
    }
}

/// A namespace's name: a DNS label.
fn namespace(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&text.len())
        && text.chars().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-');
    good.then(|| text.to_owned()).ok_or_else(|| {
        "a namespace has 1 to 63 characters of a-z, 0-9 and '-', no '-' at its ends".to_owned()
    })
}

/// Says so when the installed definition is not the one that this operator was built with. It runs all the same: what
/// it manages already has to go on.
async fn check_definition(client: &Client) {
    let advice =
        "install crds/rauthyclusters.yaml of this version (the chart does, unless crds.install is false)";
    match crd::served::missing_fields(client.clone()).await {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let fields = missing.join(", ");
            tracing::warn!(%fields, "the installed CustomResourceDefinition lacks fields, which get lost; {advice}");
        }
        Err(error) => {
            let error = rauthy_operator::reconcile::apply::explain(&error);
            tracing::warn!(%error, "the CustomResourceDefinition cannot be read; {advice}");
        }
    }
}

/// Resolves on SIGTERM or Ctrl-C.
fn terminated() -> std::io::Result<impl Future<Output = ()> + Send + Sync + 'static> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
