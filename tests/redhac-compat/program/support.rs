//! Processes of their own (redhac reads `HA_MODE` once in each), and waiting.

use std::process::Command;
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(90);

/// Runs a test that is ignored otherwise in a process of its own, with these variables.
pub fn in_own_process(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in ["HA_MODE", "HA_HOSTS", "HOSTNAME_OVERWRITE", "RAUTHY_CACHE_SOCKET", "REDHAC_COMPAT"] {
        command.env_remove(name);
    }
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1.replace("::support", ""));
    let output =
        command.args(["--ignored", "--exact", "--nocapture", &name]).envs(variables.iter().copied()).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{name} does not exist: {text}");
}

/// Looks again and again until it is so.
pub async fn until<T: std::fmt::Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if holds(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "not {what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ports that nobody uses, below those that the system gives to outgoing connections.
pub fn ports<const N: usize>() -> [u16; N] {
    let mut next = 10_000 + u16::try_from(std::process::id().wrapping_mul(83) % 20_000).unwrap();
    std::array::from_fn(|_| {
        loop {
            next += 1;
            if std::net::TcpListener::bind(("0.0.0.0", next)).is_ok() {
                return next;
            }
        }
    })
}
