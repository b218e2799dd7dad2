//! Ports of loopback that nobody uses. They are taken below those that the system gives to connections.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 15_000;
const LAST: u16 = 30_000;

/// So many ports, none of which this program gave out lately.
///
/// # Errors
/// If there are not enough.
pub fn free(number: usize) -> anyhow::Result<Vec<u16>> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two programs at a time begin at different places.
    let offset = (std::process::id() % 997) as u16 * 13;
    let mut ports = Vec::new();
    for _ in FIRST..LAST {
        if ports.len() == number {
            break;
        }
        let port = FIRST + (NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset)) % (LAST - FIRST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    anyhow::ensure!(ports.len() == number, "no {number} free ports between {FIRST} and {LAST}");
    Ok(ports)
}
