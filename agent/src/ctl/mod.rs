//! `rauthy-agent ctl`: looks at an agent and uses its cache through the same socket as an application.
//!
//! ```text
//! Args ─ run ─ Client ─▶ answer ─┬─ view and value (-o json)
//!                                └─ table and paint (people)
//! ```
//!
//! * `commands`: what can be asked · `data`: values · `live`: status again and again · `watch`: changes
//! * `digest`: do all hold the same? · `hand_over`, `set_size`: who leads, who is a member

mod commands;
mod data;
mod digest;
mod hand_over;
mod live;
mod paint;
mod set_size;
mod table;
mod value;
mod watch;

use std::io::{IsTerminal, Write};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use rauthy_client::{Client, Condition, DEFAULT_SOCKET, Error, PutOptions, SOCKET_VARIABLE};

use crate::view::NodeView;
use commands::Command;
use data::Print;

/// What is printed at the end of `ctl --help`.
const EXAMPLES: &str = "\
Examples:
  rauthy-agent ctl status                                   who leads, who lags, who is refused and why
  rauthy-agent ctl status --watch                           the same, live
  rauthy-agent ctl put sessions alice 's3cret' --ttl 30m    store a value for half an hour
  rauthy-agent ctl get sessions alice                       print it
  rauthy-agent ctl watch sessions                           changes as they come
  rauthy-agent ctl status -o json | jq .leader
  rauthy-agent ctl --socket unix:///tmp/node-1.sock status
  kubectl exec my-rauthy-0 -c agent -- /rauthy-agent ctl status
  source <(rauthy-agent completions bash)

Exit codes: 0 done, 1 no such value, refused, or replicas differ, 2 wrong usage, 3 no quorum (nothing was
written), 4 unknown outcome (the write may or may not stand).

Names in -o json do not change; new ones may come. Bytes that are no text come as base64, under a name that says so.";

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

    fn note(mut self, note: String) -> Self {
        self.note = Some(note);
        self
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
    let client = Client::new(&args.socket)?.with_deadline(args.timeout).without_retries();
    let (json, colours) = (args.output == Output::Json, colours());
    let print = |raw| Print::new(json, raw);
    let until_interrupted = async |endless: Pin<Box<dyn Future<Output = Result<(), Error>>>>| {
        tokio::select! {
            ended = endless => ended.map(|()| Outcome::done("")),
            _ = tokio::signal::ctrl_c() => Ok(Outcome::done("")),
        }
    };
    match args.command {
        Command::Status { watch: true, interval } => {
            until_interrupted(Box::pin(async move { live::run(&client, interval, json, colours).await }))
                .await
        }
        Command::Status { .. } => {
            let view = NodeView::from(&client.status().await?);
            Ok(if json { Outcome::json(&view) } else { Outcome::done(table::status(&view, colours)) })
        }
        Command::Members => {
            let view = NodeView::from(&client.status().await?);
            let table = || Outcome::done(table::members(&view, paint::Paint(colours)));
            Ok(if json { Outcome::json(&view.members) } else { table() })
        }
        Command::Get { key, linearizable, raw } => data::get(&client, &key, linearizable, print(raw)).await,
        Command::Take { key, raw } => data::take(&client, &key, print(raw)).await,
        Command::Put { key, value, ttl, if_absent, if_version, ack } => {
            let options = PutOptions { ttl, ack: ack.into(), deadline: None };
            let absent = if_absent.then_some(Condition::Absent);
            let condition = if_version.map(Condition::Version).or(absent);
            data::put(&client, &key, data::Put { value, options, condition }, json).await
        }
        Command::Delete { key, ack } => data::delete(&client, &key, ack, json).await,
        Command::Increment { key, by, ttl } => {
            let options = PutOptions { ttl, ..PutOptions::default() };
            data::increment(&client, &key, by, options, json).await
        }
        Command::Clear { cache } => data::clear(&client, &cache, json).await,
        Command::Watch { cache, prefix, values, after, count } => {
            let cache = cache.unwrap_or_default();
            let wanted = watch::Wanted { cache, prefix, values, after, count };
            let socket = args.socket;
            until_interrupted(Box::pin(async move { watch::run(&socket, wanted, json, colours).await })).await
        }
        Command::Transfer { pid } => hand_over::run(&client, pid, json).await,
        Command::SetSize { hosts_file, wait } => set_size::run(&client, &hosts_file, wait, json).await,
        Command::Digest => digest::run(&client, args.timeout, json, colours).await,
    }
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
    fn every_command_has_an_example_that_it_understands() {
        use clap::CommandFactory;
        let mut seen = 0;
        for command in Cli::command().get_subcommands() {
            let name = command.get_name().to_owned();
            if name == "members" || name == "help" {
                continue;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = format!("rauthy-agent ctl {name}");
            assert!(help.contains(&own), "{name} has no example: {help}");
            for line in help.lines().filter_map(|l| l.trim().strip_prefix("rauthy-agent ")) {
                let words = line.split("   ").next().unwrap_or(line).split(['|', '>']).next().unwrap_or(line);
                let words = words.replace("\"$(pidof rauthy-agent)\"", "7").replace('\'', "");
                if let Err(error) = Cli::try_parse_from(words.split_whitespace())
                    && error.kind() != clap::error::ErrorKind::MissingRequiredArgument
                {
                    panic!("{line}: {error}");
                }
                seen += 1;
            }
        }
        assert!(seen > 15, "{seen} examples");
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
