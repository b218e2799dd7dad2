//! `rauthy-agent ctl`: looks at an agent and uses its cache through the same socket as an application.
//!
//! ```text
//! Args ─ run ─ Client ─▶ answer ─┬─ view  (-o json)
//!                                └─ table (people)
//! ```

mod hand_over;
mod table;
mod view;

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use rauthy_client::{Client, DEFAULT_SOCKET, Error, PutOptions, SOCKET_VARIABLE};

pub use view::NodeView;

/// What is printed at the end of `ctl --help`.
const EXAMPLES: &str = "\
Examples:
  rauthy-agent ctl status                                   who leads, who lags, who is refused and why
  rauthy-agent ctl put sessions alice 's3cret' --ttl 30m    store a value for half an hour
  rauthy-agent ctl get sessions alice                       print it
  head -c 1000 /dev/urandom | rauthy-agent ctl put blobs x -
  rauthy-agent ctl status -o json | jq .leader
  rauthy-agent ctl --socket unix:///tmp/node-1.sock status
  kubectl exec my-rauthy-0 -c agent -- /rauthy-agent ctl status

Exit codes: 0 done, 1 no such value or refused, 2 wrong usage, 3 no quorum (nothing was written),
4 unknown outcome (the write may or may not stand).";

/// Looks at an agent and uses its cache, through the socket that an application uses.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The agent's socket: unix:///path/to/cache.sock or http://127.0.0.1:port.
    #[arg(long, global = true, env = SOCKET_VARIABLE, default_value = DEFAULT_SOCKET)]
    socket: String,
    /// How to print the answer.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// How long to wait for an answer, e.g. 500ms or 5s.
    #[arg(long, global = true, value_parser = duration, default_value = "5s")]
    timeout: Duration,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ack {
    /// When a quorum has it: survives the loss of any minority.
    Quorum,
    /// When the leader has it: faster, lost if the leader dies at once.
    Leader,
}

impl From<Ack> for rauthy_client::AckLevel {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Quorum => Self::Quorum,
            Ack::Leader => Self::Leader,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How this node sees the cluster: who leads, who lags, who is refused and why.
    Status,
    /// Print a value. Exit code 1 if there is none.
    Get {
        /// Name of the cache.
        cache: String,
        /// Key.
        key: String,
    },
    /// Store a value.
    Put {
        /// Name of the cache.
        cache: String,
        /// Key.
        key: String,
        /// The value; `-` reads it from standard input.
        value: String,
        /// After this long the value is gone, e.g. 500ms, 30s, 10m, 2h.
        #[arg(long, value_parser = duration)]
        ttl: Option<Duration>,
        /// When to call it stored.
        #[arg(long, value_enum, default_value_t = Ack::Quorum)]
        ack: Ack,
    },
    /// Remove a key. Succeeds as well if it was not there, and says so.
    Delete {
        /// Name of the cache.
        cache: String,
        /// Key.
        key: String,
        /// When to call it removed.
        #[arg(long, value_enum, default_value_t = Ack::Quorum)]
        ack: Ack,
    },
    /// Hand the leadership over before this node stops: sends SIGUSR1 to the agent and waits until it no longer
    /// leads, 5 s at most. Succeeds at once if it does not lead. Meant for a preStop hook.
    HandOver {
        /// Process id of the agent; 1 inside its container.
        #[arg(long, default_value_t = 1)]
        pid: i32,
    },
}

/// Carries out the command and prints the result.
pub async fn run(args: Args) -> ExitCode {
    match execute(args).await {
        Ok(outcome) => {
            // A closed pipe (`ctl get … | head -c 1`) is the reader's wish, not a failure.
            let _ = std::io::stdout().write_all(&outcome.stdout);
            if let Some(note) = outcome.note {
                eprintln!("{note}");
            }
            outcome.code.into()
        }
        Err(error) => {
            eprintln!("rauthy-agent ctl: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// What a command has to say.
struct Outcome {
    stdout: Vec<u8>,
    note: Option<String>,
    code: Code,
}

/// How a command that got an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Done,
    Refused,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        match code {
            Code::Done => Self::SUCCESS,
            Code::Refused => Self::from(1),
        }
    }
}

impl Outcome {
    fn done(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), note: None, code: Code::Done }
    }

    fn json(value: &impl serde::Serialize) -> Self {
        let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
        text.push(b'\n');
        Self::done(text)
    }

    fn refused(mut self) -> Self {
        self.code = Code::Refused;
        self
    }
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Invalid(_) => 2,
        Error::NoQuorum => 3,
        Error::UnknownOutcome => 4,
        _ => 1,
    }
}

async fn execute(args: Args) -> Result<Outcome, Error> {
    let client = Client::new(&args.socket)?.with_deadline(args.timeout);
    let json = args.output == Output::Json;
    match args.command {
        Command::Status => {
            let status = client.status().await?;
            let view = NodeView::from(&status);
            Ok(if json { Outcome::json(&view) } else { Outcome::done(table::status(&view, colours())) })
        }
        Command::Get { cache, key } => {
            let found = client.get(&cache, key.clone().into_bytes()).await?;
            Ok(got(&cache, &key, found.as_ref(), json))
        }
        Command::Put { cache, key, value, ttl, ack } => {
            let value = if value == "-" { stdin()? } else { value.into_bytes() };
            let options = PutOptions { ttl, ack: ack.into(), deadline: None };
            let version = client.put(&cache, key.clone().into_bytes(), value, options).await?;
            Ok(if json {
                Outcome::json(&serde_json::json!({ "cache": cache, "key": key, "version": version }))
            } else {
                Outcome::done(format!("stored, version {version}\n"))
            })
        }
        Command::Delete { cache, key, ack } => {
            let existed = client.delete(&cache, key.clone().into_bytes(), ack.into()).await?;
            let known = matches!(ack, Ack::Quorum);
            Ok(if json {
                let existed = known.then_some(existed);
                Outcome::json(&serde_json::json!({ "cache": cache, "key": key, "existed": existed }))
            } else {
                Outcome::done(if existed || !known { "deleted\n" } else { "there was no such value\n" })
            })
        }
        Command::HandOver { pid } => hand_over::run(&client, pid, json).await,
    }
}

fn got(cache: &str, key: &str, found: Option<&rauthy_client::Value>, json: bool) -> Outcome {
    match found {
        _ if json => {
            let view = view::ValueView::new(cache, key, found);
            let outcome = Outcome::json(&view);
            if found.is_some() { outcome } else { outcome.refused() }
        }
        Some(found) => {
            let mut bytes = found.value.to_vec();
            // The bytes as they are for a program; for a person the prompt begins on a new line.
            if std::io::stdout().is_terminal() {
                bytes.push(b'\n');
            }
            Outcome::done(bytes)
        }
        None => Outcome {
            stdout: Vec::new(),
            note: Some(format!("cache \"{cache}\" has no value under \"{key}\"")),
            code: Code::Refused,
        },
    }
}

fn stdin() -> Result<Vec<u8>, Error> {
    let mut value = Vec::new();
    // No further than it takes to see that it is too long.
    let limit = rauthy_client::limits::VALUE as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_end(&mut value)
        .map_err(|e| Error::Invalid(format!("standard input cannot be read: {e}")))?;
    if value.len() as u64 == limit {
        return Err(Error::Invalid(format!(
            "standard input holds more than the {} bytes of a value",
            limit - 1
        )));
    }
    Ok(value)
}

fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// `500ms`, `30s`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let help = "write it with a unit, such as 500ms, 30s, 10m or 2h";
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| help.to_owned())?;
    let parsed = Duration::try_from(parsed).map_err(|_| "it cannot be negative".to_owned())?;
    if parsed.is_zero() { Err(help.to_owned()) } else { Ok(parsed) }
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
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "5", "-3s", "soon", "0s"] {
            duration(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn flags_may_stand_after_the_command() {
        let line = ["ctl", "put", "c", "k", "-v", "--ttl", "30s", "--ack", "leader", "-o", "json"];
        Cli::try_parse_from(line).expect_err("-v is no flag");
        let line = ["ctl", "put", "c", "k", "v", "--ttl", "30s", "--ack", "leader", "-o", "json"];
        let args = Cli::try_parse_from(line).unwrap().args;
        assert_eq!(args.output, Output::Json);
        let Command::Put { ttl, .. } = args.command else { panic!("{:?}", args.command) };
        assert_eq!(ttl, Some(Duration::from_secs(30)));
    }

    #[test]
    fn each_error_has_its_exit_code() {
        let unreachable = Error::Unreachable { target: "t".into(), reason: "r".into() };
        let codes = [
            (Error::NoQuorum, 3),
            (Error::UnknownOutcome, 4),
            (Error::Invalid("x".into()), 2),
            (Error::Limit("x".into()), 1),
            (unreachable, 1),
        ];
        for (error, code) in codes {
            assert_eq!(exit_code(&error), code, "{error}");
        }
    }
}
