//! Processes of their own (redhac reads `HA_MODE` once in each), and waiting.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(90);

/// Of the process that runs the tests: nothing of it is meant for those that it starts.
const FOREIGN: [&str; 13] = [
    "HA_MODE",
    "HA_HOSTS",
    "HOSTNAME_OVERWRITE",
    "RAUTHY_CACHE_SOCKET",
    "REDHAC_COMPAT",
    "CACHE_TLS",
    "CACHE_AUTH_TOKEN",
    "CACHE_TLS_SERVER_CERT",
    "CACHE_TLS_SERVER_KEY",
    "CACHE_TLS_CLIENT_CERT",
    "CACHE_TLS_CLIENT_KEY",
    "CACHE_TLS_CA_SERVER",
    "CACHE_TLS_CA_CLIENT",
];

/// Runs a test that is ignored otherwise in a process of its own, with these variables.
pub fn in_own_process(test: &str, variables: &[(&str, &str)]) {
    let here = std::env::current_dir().unwrap();
    passed(test, own_process(test, variables, &here).wait_with_output().unwrap());
}

/// Starts a test that is ignored otherwise in a process of its own, in this folder and with these variables.
pub fn own_process(test: &str, variables: &[(&str, &str)], folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.args(["--ignored", "--exact", "--nocapture", &full_name(test)]).envs(variables.iter().copied());
    command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Panics with what it said unless it is the output of a test that passed.
pub fn passed(test: &str, output: Output) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{} does not exist: {text}", full_name(test));
}

fn full_name(test: &str) -> String {
    format!("{}::{test}", module_path!().split_once("::").unwrap().1.replace("::support", ""))
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

/// Ports that nobody uses, below those that the system gives to outgoing connections; each is given to one test.
pub fn ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id().wrapping_mul(83) % 20_000).unwrap();
    std::array::from_fn(|_| {
        loop {
            let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
            if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
                return port;
            }
        }
    })
}
