//! A network of its own, in which addresses are not those of loopback: who comes from this host is trusted with more by the
//! agents than a stranger is, and everything in the other parts comes from there. Needs root, `unshare`, `nsenter`, `ip`.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::process::Process;

/// Where agents listen in it.
pub const ADDRESS: &str = "10.77.0.1";
/// Addresses of others in it.
pub const SOURCES: &str = "10.77.0.:100-199";
/// It stands within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The network; it is gone with the last process in it.
pub struct Net {
    holder: Process,
}

impl Net {
    /// Makes one.
    ///
    /// # Errors
    /// If this is not root, or a program is missing.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (stands, log) = (folder.join("net"), folder.join("net.log"));
        let mut command = Command::new("unshare");
        // A network of loopback's own interface is local as a whole: all of its addresses can be used.
        let script =
            "ip link set lo up && ip address add \"$1/24\" dev lo && : >\"$2\" && exec sleep infinity";
        command.args(["--net", "sh", "-c", script, "sh", ADDRESS]).arg(&stands);
        let holder = Process::start(command, &log)?;
        let end = Instant::now() + PATIENCE;
        while !stands.exists() {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            anyhow::ensure!(
                Instant::now() < end,
                "no network of its own, which only root can make: {}",
                said()
            );
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Self { holder })
    }

    /// A program in it.
    ///
    /// # Errors
    /// If it is gone.
    pub fn command(&self, program: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.holder.pid()?.to_string()]).arg(program);
        Ok(command)
    }
}
