//! `rauthy-agent`: the daemon and its tools.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use rauthy_agent::config::{Config, Flags, LogFormat};
use rauthy_agent::runtime::{self, Handle, Running};
use rauthy_agent::{ctl, dev, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// EX_CONFIG: the settings are wrong, and a restart would not help.
const WRONG_SETTINGS: u8 = 78;
/// Leadership is handed over within this time, or it is taken over later: what is left of [`IN_ORDER`] is enough for
/// streams to say how they end.
const HAND_OVER: Duration = Duration::from_secs(2);
/// A process that was told to stop does so in order until then, counted from the signal on, and is cut off after it.
const IN_ORDER: Duration = Duration::from_millis(4_500);
/// A thread that is in the middle of something when all else has ended has this long.
const AT_WORK: Duration = Duration::from_millis(200);
/// The end, counted from the signal on, whatever the process is at by then: it is to be gone after 5 s.
const LAST: Duration = Duration::from_millis(4_800);

/// The replicated in-memory cache of Rauthy: one agent runs beside every instance.
#[derive(Parser)]
#[command(name = "rauthy-agent", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the agent (this is what happens without a command, too).
    Run {
        #[command(flatten)]
        flags: Flags,
    },
    /// Asks a running agent.
    Ctl(ctl::Args),
    /// Prints what a shell needs to complete the words of this program.
    #[command(after_help = "\
Examples:
  source <(rauthy-agent completions bash)
  rauthy-agent completions zsh > \"${fpath[1]}/_rauthy-agent\"
  rauthy-agent completions fish > ~/.config/fish/completions/rauthy-agent.fish")]
    Completions {
        /// For this shell.
        shell: Shell,
    },
    /// Runs a few agents in this terminal, to try things out.
    Dev(dev::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("rauthy-agent: another TLS library is in use already");
    }
    let result = match cli.command {
        None => run(cli.flags),
        Some(Command::Run { flags }) => run(flags),
        Some(Command::Completions { shell }) => {
            completions(shell);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Ctl(args)) => tokio(1).map(|t| t.block_on(ctl::run(args))),
        Some(Command::Dev(args)) => tokio(2).map(|t| t.block_on(dev::run(args))),
    };
    result.unwrap_or_else(|error| {
        eprintln!("rauthy-agent: {error:#}");
        ExitCode::FAILURE
    })
}

fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rauthy-agent", &mut script);
    if shell == Shell::Bash {
        // clap_complete 4.6 writes the - of the program's name in two ways, so that bash knows no subcommand's words.
        script = String::from_utf8_lossy(&script)
            .replace("rauthy__subcmd__agent__", "rauthy__agent__")
            .into_bytes();
    }
    // A closed pipe is the reader's wish.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
}

/// The consensus task, the streams and the readers share few threads: more would only add switches between them.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4))
}

fn tokio(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("no threads can be started")
}

fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let uname = rustix::system::uname();
    let hostname = uname.nodename().to_string_lossy();
    let read = |path: &std::path::Path| std::fs::read_to_string(path);
    let config = match flags.check().and_then(|()| Config::from(&|name| flags.get(name), &hostname, &read)) {
        Ok(config) => config,
        Err(error) => {
            // One line, the last one: Kubernetes shows it in the status of the pod.
            eprintln!("rauthy-agent: {error}");
            return Ok(ExitCode::from(WRONG_SETTINGS));
        }
    };
    log_to_stderr(&config)?;
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let runtime = tokio(workers())?;
    let code = runtime.block_on(agent(config));
    // Whoever is still at work then is not waited for any longer: the process is gone in time.
    runtime.shutdown_timeout(AT_WORK);
    code
}

fn log_to_stderr(config: &Config) -> anyhow::Result<()> {
    // A level is meant for this program, not for every frame of the libraries below it. Nor may strangers fill the log
    // through these: they warn of each bad connection, which the mesh counts and says now and then. Directives may ask
    // for it all the same: the last one counts.
    let libraries = "h2=error,rustls=error,hyper=info,tower=info";
    let directives = match config.log_level.to_ascii_lowercase().as_str() {
        level @ ("error" | "warn") => format!("{level},h2=error,rustls=error"),
        _ => format!("{libraries},{}", config.log_level),
    };
    let filter = EnvFilter::try_new(directives).context("LOG_LEVEL")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => {
            log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).with_target(false).init();
        }
    }
    Ok(())
}

async fn agent(config: Config) -> anyhow::Result<ExitCode> {
    // Before anything else: from here on a signal means what it should.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hand_over = signal(SignalKind::user_defined1())?;

    let members: Vec<String> = config.hosts.slots().iter().map(ToString::to_string).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        me = %config.slot,
        cluster = config.cluster_name,
        members = members.join(" "),
        tls = config.tls.is_some(),
        "starts"
    );
    let (listen, http) = (config.listen.clone(), config.http);
    let (handle, mut running) = match runtime::start(config).await {
        Ok(started) => started,
        Err(error) => {
            eprintln!("rauthy-agent: {error}");
            return Ok(if error.is_setting() { ExitCode::from(WRONG_SETTINGS) } else { ExitCode::FAILURE });
        }
    };
    let (stop_cache, stop_http) = (CancellationToken::new(), CancellationToken::new());
    let mut cache = tokio::spawn(serve::cache(listen, handle.clone(), stop_cache.clone().cancelled_owned()));
    let mut probes = tokio::spawn(serve::http(http, handle.clone(), stop_http.clone().cancelled_owned()));

    let fault = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hand_over.recv() => {
                tracing::info!("asked to hand the leadership over; goes on serving");
                let handle = handle.clone();
                tokio::spawn(async move { handle.hand_over().await });
            }
            ended = &mut cache => break Some(server_ended("the cache", ended)),
            ended = &mut probes => break Some(server_ended("health and metrics", ended)),
            () = running.ended() => {
                // Nothing can be served any more, and a restart begins anew.
                eprintln!("rauthy-agent: the consensus task ended, which is a fault in this program");
                return Ok(ExitCode::FAILURE);
            }
        }
    };
    let in_order = tokio::time::Instant::now() + IN_ORDER;
    let code = u8::from(fault.is_some());
    ends_in_any_case(code);
    let leave = leave(&handle, running, &stop_cache, cache);
    if tokio::time::timeout_at(in_order, leave).await.is_err() {
        tracing::warn!("did not end in order within {} s", IN_ORDER.as_secs_f32());
    }
    stop_http.cancel();
    if let Some(fault) = fault {
        eprintln!("rauthy-agent: {fault}");
    }
    Ok(ExitCode::from(code))
}

/// Sees to it that this process is gone [`LAST`] from now. A thread of its own: the runtime keeps time only while its
/// threads come to look at the clock, and its end waits for what they are at.
fn ends_in_any_case(code: u8) {
    let last = std::thread::Builder::new().name("last".to_owned()).spawn(move || {
        std::thread::sleep(LAST);
        // Nothing is said here: whoever holds the log may be what does not end.
        std::process::exit(code.into());
    });
    if let Err(error) = last {
        tracing::warn!(%error, "no thread can be started that would end this process in any case");
    }
}

type Server = Result<Result<(), serve::ServeError>, tokio::task::JoinError>;

fn server_ended(what: &str, ended: Server) -> String {
    match ended {
        Ok(Ok(())) => format!("the server for {what} ended by itself"),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("the server for {what} ended: {error}"),
    }
}

/// Not ready, leadership away, calls under way answered, streams closed.
async fn leave(
    handle: &Handle,
    running: Running,
    stop_cache: &CancellationToken,
    cache: tokio::task::JoinHandle<Result<(), serve::ServeError>>,
) {
    tracing::info!("stops: not ready from now on, hands the leadership over if it leads");
    handle.stop_being_ready();
    let _ = tokio::time::timeout(HAND_OVER, handle.hand_over()).await;
    stop_cache.cancel();
    if !cache.is_finished() {
        let _ = cache.await;
    }
    running.shutdown().await;
    tracing::info!("stopped");
}
