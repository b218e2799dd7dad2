//! What can be asked on the command line.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueEnum};
use rauthy_client::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Ack {
    /// When a quorum has it: survives the loss of any minority.
    Quorum,
    /// When the leader has it: faster, lost if the leader dies at once.
    Leader,
    /// When one more member than the leader has it.
    Once,
    /// As quorum, and nobody serves what was there before any more.
    All,
    /// When this agent has it: lost if anything fails. Only in caches that are declared so.
    Direct,
}

impl Ack {
    /// Whether the answer says what was there before.
    pub(super) fn tells(self) -> bool {
        matches!(self, Self::Quorum | Self::All)
    }
}

impl From<Ack> for rauthy_client::AckLevel {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Quorum => Self::Quorum,
            Ack::Leader => Self::Leader,
            Ack::Once => Self::Once,
            Ack::All => Self::All,
            Ack::Direct => Self::Direct,
        }
    }
}

/// A key of a cache.
#[derive(Debug, clap::Args)]
pub(super) struct Key {
    /// Name of the cache.
    pub cache: String,
    /// Key.
    key: String,
    /// The key (and the value, where one is given) is written in base64: for bytes that are no text.
    #[arg(long)]
    base64: bool,
}

impl Key {
    /// Its bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Error> {
        self.decode("the key", &self.key)
    }

    /// The bytes of something that is written as the key is.
    pub(super) fn decode(&self, what: &str, text: &str) -> Result<Vec<u8>, Error> {
        if !self.base64 {
            return Ok(text.as_bytes().to_vec());
        }
        let wrong = |e| Error::Invalid(format!("{what} is no base64 ({e}); leave --base64 out for text"));
        STANDARD.decode(text).map_err(wrong)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How this node sees the cluster: who leads, who lags, who is refused and why, and what to do next.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl status
  rauthy-agent ctl status --watch                      a picture that is drawn anew every second, until Ctrl-C
  rauthy-agent ctl status -o json | jq '.members[] | select(.connected | not)'")]
    Status {
        /// Show it again and again, until Ctrl-C; with -o json one line each time.
        #[arg(short, long)]
        watch: bool,
        /// How often with --watch.
        #[arg(long, value_parser = super::duration, default_value = "1s")]
        interval: Duration,
    },
    /// The members, and what is known of each.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl members
  rauthy-agent ctl members -o json | jq -r '.[].slot'")]
    Members,
    /// Print a value. Exit code 1 if there is none.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl get sessions alice
  rauthy-agent ctl get sessions alice --linearizable   what stands now, not what this node has
  rauthy-agent ctl get blobs x --raw > file            the bytes as they are
  rauthy-agent ctl get blobs //79 --base64             a key that is no text

Where the output is no terminal, the bytes are printed as they are; on one, what is no text is escaped.")]
    Get {
        #[command(flatten)]
        key: Key,
        /// What stands at this moment, instead of what this node has: costs a round trip to a quorum.
        #[arg(short, long)]
        linearizable: bool,
        /// The bytes as they are, on a terminal, too.
        #[arg(long)]
        raw: bool,
    },
    /// Store a value.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl put sessions alice 's3cret' --ttl 30m
  head -c 1000 /dev/urandom | rauthy-agent ctl put blobs x -
  rauthy-agent ctl put sessions alice new --if-version 42    only if nobody wrote since")]
    Put {
        #[command(flatten)]
        key: Key,
        /// The value; `-` reads it from standard input.
        value: String,
        /// After this long the value is gone, e.g. 500ms, 30s, 10m, 2h.
        #[arg(long, value_parser = super::duration)]
        ttl: Option<Duration>,
        /// Only if the key is not there.
        #[arg(long, conflicts_with = "if_version")]
        if_absent: bool,
        /// Only if the key's value is of this version.
        #[arg(long)]
        if_version: Option<u64>,
        /// When to call it stored.
        #[arg(long, value_enum, default_value_t = Ack::Quorum)]
        ack: Ack,
    },
    /// Remove a key. Succeeds as well if it was not there, and says so.
    #[command(after_help = "Example:\n  rauthy-agent ctl delete sessions alice")]
    Delete {
        #[command(flatten)]
        key: Key,
        /// When to call it removed.
        #[arg(long, value_enum, default_value_t = Ack::Quorum)]
        ack: Ack,
    },
    /// Get and remove a value in one step: of all who take it, one gets it. Exit code 1 if there is none.
    #[command(after_help = "Example:\n  rauthy-agent ctl take codes abc123")]
    Take {
        #[command(flatten)]
        key: Key,
        /// The bytes as they are, on a terminal, too.
        #[arg(long)]
        raw: bool,
    },
    /// Add to a number, and print the sum; a missing one counts as 0.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl increment logins alice
  rauthy-agent ctl increment logins alice --by=-5")]
    Increment {
        #[command(flatten)]
        key: Key,
        /// What to add; may be negative.
        #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        /// How long a number that was missing lives.
        #[arg(long, value_parser = super::duration)]
        ttl: Option<Duration>,
    },
    /// Remove all values of a cache.
    #[command(after_help = "Example:\n  rauthy-agent ctl clear sessions")]
    Clear {
        /// Name of the cache.
        cache: String,
    },
    /// Print changes as they come, until Ctrl-C.
    #[command(after_help = "\
Examples:
  rauthy-agent ctl watch                               of all caches
  rauthy-agent ctl watch sessions --prefix user/ --values
  rauthy-agent ctl watch -o json | jq -c 'select(.kind == \"expired\")'

A gap means that changes were missed: whatever is kept from before must be read anew. After \"gone\" it must be dropped.")]
    Watch {
        /// Name of the cache; all without one.
        cache: Option<String>,
        /// Only keys that begin so.
        #[arg(long, default_value = "")]
        prefix: String,
        /// Print the values, too.
        #[arg(long)]
        values: bool,
        /// Changes after this position, as -o json prints it; from now on without it.
        #[arg(long)]
        after: Option<String>,
        /// End after so many changes.
        #[arg(long)]
        count: Option<u64>,
    },
    /// Hand the leadership to another member: sends SIGUSR1 to the agent and waits until it no longer leads, 5 s at
    /// most. Succeeds at once if it does not lead. Meant for a preStop hook, and before maintenance.
    #[command(
        visible_alias = "hand-over",
        after_help = "\
Examples:
  rauthy-agent ctl transfer                            inside the agent's container
  rauthy-agent ctl transfer --pid \"$(pidof rauthy-agent)\""
    )]
    Transfer {
        /// Process id of the agent; 1 inside its container.
        #[arg(long, default_value_t = 1)]
        pid: i32,
    },
    /// Carry out the change of size that the host list announces, and wait until it is done.
    #[command(after_help = "\
Example, from three members to five on hosts without an operator:
  1. Write the list to the HA_HOSTS_FILE of all members, with a greater epoch than before:
       {\"epoch\": 2, \"now\": [\"https://a:8000\", …three], \"next\": [\"https://a:8000\", …five]}
  2. Start the new members with the same file.
  3. On any member, with the environment of its agent (token, TLS, HA_HOSTS_FILE):
       rauthy-agent ctl set-size
  4. Write the final list, again with a greater epoch: {\"epoch\": 3, \"now\": […five], \"next\": null}
     and repeat step 3.
With an operator there is nothing to do: it does all of this.")]
    SetSize {
        /// The host list to carry out; HA_HOSTS_FILE by default.
        #[arg(long, env = "HA_HOSTS_FILE")]
        hosts_file: PathBuf,
        /// How long to wait until it is done.
        #[arg(long, value_parser = super::duration, default_value = "60s")]
        wait: Duration,
    },
    /// Compare the data of all members at equal positions. Exit code 1 if any differ.
    #[command(after_help = "\
Example:
  rauthy-agent ctl digest

Members tell each other digests every second: of where they are, and of the last multiples of 4096 that they passed. Where
both are known they must be equal. \"Not comparable yet\": the position of one is not known to the other so far.")]
    Digest,
}
