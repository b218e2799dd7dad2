//! `rauthy-agent dev`: a cluster in one terminal, for whoever has no Kubernetes at hand.
//!
//! ```text
//! token, certificates, sockets in a temporary folder
//!      │
//! plan ─▶ child ×N (this program, `run`) ─▶ prefixed logs
//!              ▲
//! watch ───────┘ status through each socket ─▶ who leads, what to type next
//! ```
//!
//! * [`plan`]: what each node is told · [`child`]: one process, started again when it ends
//! * [`certificates`]: an authority and a certificate

pub mod certificates;
mod child;
mod plan;
mod watch;

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use certificates::CertificateError;
use child::Supervisor;

const EXAMPLES: &str = "\
Examples:
  rauthy-agent dev                     three nodes on localhost, with TLS
  rauthy-agent dev --nodes 5 --base-port 20000
  rauthy-agent dev --tls false         as under a service mesh
  LOG_LEVEL=debug rauthy-agent dev";

/// Runs a cluster in this terminal, with a token and certificates made for it. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How many nodes, 1 to 9.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The nodes use the ports after this one, and those 100 above for probes and metrics.
    #[arg(long, default_value_t = 18000, value_parser = clap::value_parser!(u16).range(1024..=65400))]
    base_port: u16,
    /// Whether the nodes talk to each other over TLS.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    tls: bool,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("the program does not know its own path: {0}")]
    Program(std::io::Error),
    #[error("no temporary folder can be made ({0}); set TMPDIR to a place where this user may write")]
    Folder(std::io::Error),
    #[error("the token cannot be written: {0}")]
    Token(std::io::Error),
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error(
        "port {0} is taken ({1}); does another `rauthy-agent dev` run? Choose other ports with --base-port"
    )]
    Port(u16, std::io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("{0}")]
    Node(String),
}

/// Runs the cluster until Ctrl-C.
pub async fn run(args: Args) -> ExitCode {
    match cluster(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rauthy-agent dev: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn cluster(args: &Args) -> Result<(), DevError> {
    let program: Arc<Path> = std::env::current_exe().map_err(DevError::Program)?.into();
    // Removed when this function returns, in whatever way. Only this user may look inside.
    let folder = tempfile::Builder::new().prefix("rauthy-dev-").tempdir().map_err(DevError::Folder)?;
    let token = folder.path().join("token");
    write_token(&token)?;
    let tls = if args.tls {
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        Some(certificates::generate(folder.path(), &names)?)
    } else {
        None
    };
    let nodes: Vec<_> = plan::nodes(args.nodes, args.base_port, folder.path(), &token, tls.as_ref())
        .into_iter()
        .map(Arc::new)
        .collect();

    for port in nodes.iter().flat_map(|n| [n.mesh, n.http]) {
        // A node that cannot listen would end and be started again for ever.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|e| DevError::Port(port, e))?;
    }

    let mut ended = Ended::new()?;
    let stop = CancellationToken::new();
    let pids: Vec<_> = nodes.iter().map(|_| Arc::new(AtomicU32::new(0))).collect();
    let colours =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    say(&format!(
        "Starting {} node{} on localhost, {}; the first leader stands after about 3 s.",
        args.nodes,
        if args.nodes == 1 { "" } else { "s" },
        if args.tls { "with TLS" } else { "without TLS" },
    ));
    let mut children = JoinSet::new();
    for (node, pid) in nodes.iter().zip(&pids) {
        let supervisor = Supervisor {
            node: node.clone(),
            program: program.clone(),
            colours,
            pid: pid.clone(),
            stop: stop.clone(),
        };
        children.spawn(supervisor.run());
    }
    let watcher = watch::run(&nodes, &pids, folder.path());
    let failed = tokio::select! {
        () = watcher => None,
        () = ended.wait() => None,
        Some(Ok(Err(why))) = children.join_next() => Some(why),
    };
    say("Ending all nodes …");
    stop.cancel();
    // Pressed a second time: the nodes are killed when their supervisors are dropped.
    tokio::select! {
        () = async { while children.join_next().await.is_some() {} } => {}
        () = ended.wait() => {}
    }
    failed.map_or(Ok(()), |why| Err(DevError::Node(why)))
}

/// The signals that end this program: Ctrl-C, a supervisor's wish, and the terminal that was closed.
struct Ended([tokio::signal::unix::Signal; 3]);

impl Ended {
    fn new() -> Result<Self, DevError> {
        let open = |kind| signal(kind).map_err(DevError::Signals);
        Ok(Self([
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
            open(SignalKind::hangup())?,
        ]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Writes a line for the user between the logs.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// 48 characters of [a-zA-Z0-9], readable by this user only.
fn write_token(path: &Path) -> Result<(), DevError> {
    let token = token().map_err(DevError::Random)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(token.as_bytes()))
        .map_err(DevError::Token)
}

fn token() -> Result<String, getrandom::Error> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut token = String::new();
    while token.len() < 48 {
        let mut byte = [0];
        getrandom::fill(&mut byte)?;
        // Each letter with the same probability: what lies beyond the last whole round is thrown away.
        let letter = LETTERS.get(usize::from(byte[0]) % LETTERS.len());
        if usize::from(byte[0]) < 256 / LETTERS.len() * LETTERS.len() {
            token.extend(letter.map(|l| char::from(*l)));
        }
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (a, b) = (token().unwrap(), token().unwrap());
        assert_eq!(a.len(), 48);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()), "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn numbers_are_checked() {
        for wrong in [["dev", "--nodes", "0"], ["dev", "--nodes", "10"], ["dev", "--base-port", "65500"]] {
            Cli::try_parse_from(wrong).expect_err("out of range");
        }
        assert!(!Cli::try_parse_from(["dev", "--tls", "false"]).unwrap().args.tls);
        assert!(Cli::try_parse_from(["dev"]).unwrap().args.tls);
    }
}
