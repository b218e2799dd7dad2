//! The list of members: HA_HOSTS or the file that holds one, and which of them this host is.

use rauthy_core::{HostList, Slot};
use serde::Deserialize;

use super::ConfigError;

/// Most members that a cluster can have.
pub const MOST_MEMBERS: usize = 9;

const WANT: &str = "give every member, this one included, as https://host:port, separated by commas";

/// The file that HA_HOSTS_FILE names. One file, because three could straddle a swap of their volume.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    epoch: u64,
    now: Vec<String>,
    #[serde(default)]
    next: Option<Vec<String>>,
}

/// Reads HA_HOSTS: `http(s)://host:port, …`; blanks and a trailing comma are allowed.
///
/// # Errors
/// If an entry is no such address, one stands twice, or there are none or too many.
pub fn from_csv(name: &'static str, text: &str) -> Result<HostList, ConfigError> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|e| !e.is_empty()).collect();
    Ok(HostList::fixed(slots(name, &entries)?))
}

/// Reads the text of a host list file: `{"epoch": 0, "now": ["https://host:port"], "next": null}`.
///
/// # Errors
/// If it is not that, or as for [`from_csv`].
pub fn from_json(name: &'static str, text: &str) -> Result<HostList, ConfigError> {
    let file: File = serde_json::from_str(text).map_err(|e| ConfigError::Invalid {
        name,
        read: shorten(text),
        want: format!(
            r#"the file must hold {{"epoch": 0, "now": ["https://host:port"], "next": null}} ({})"#,
            // It repeats names of fields that stand there.
            shorten(&e.to_string())
        ),
    })?;
    let read = |list: &[String]| slots(name, &list.iter().map(|e| e.trim()).collect::<Vec<_>>());
    Ok(HostList {
        epoch: file.epoch,
        now: read(&file.now)?,
        next: file.next.as_deref().map(read).transpose()?,
    })
}

fn slots(name: &'static str, entries: &[&str]) -> Result<Vec<Slot>, ConfigError> {
    let invalid = |read: &str, want: String| ConfigError::Invalid { name, read: shorten(read), want };
    let mut out: Vec<Slot> = Vec::with_capacity(entries.len());
    for entry in entries {
        // What stands before an @ would be a password, which is not repeated.
        let shown = entry.rsplit_once('@').map_or(*entry, |(_, host)| host);
        let slot = slot(entry).map_err(|why| invalid(shown, format!("{why}; {WANT}")))?;
        if out.contains(&slot) {
            return Err(invalid(entry, "it stands twice in the list; name every member once".into()));
        }
        out.push(slot);
    }
    if out.is_empty() || out.len() > MOST_MEMBERS {
        let read = entries.join(", ");
        return Err(invalid(
            &read,
            format!("it names {} members; 1 to {MOST_MEMBERS} are possible", out.len()),
        ));
    }
    Ok(out)
}

/// One entry: `http(s)://host:port`, without more than a final slash behind it.
fn slot(entry: &str) -> Result<Slot, &'static str> {
    let rest = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://"));
    let rest = rest.ok_or("it does not begin with https:// or http://")?;
    if rest.contains('@') {
        return Err("a user name and password (not shown) have no place in it");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').ok_or("its port is missing")?;
    if port.parse::<u16>().map_or(true, |port| port == 0) || port.starts_with(['+', '0']) {
        return Err("its port is not a number from 1 to 65535");
    }
    // One address has many spellings, and host names do not depend on case; a slot has one name.
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|ip| ip.parse::<std::net::Ipv6Addr>().ok());
        let address = address.ok_or("what stands in its brackets is no IPv6 address")?;
        return Ok(Slot::new(&format!("[{address}]:{port}")));
    }
    if host.contains(':') {
        return Err("an IPv6 address stands in brackets, as in https://[::1]:8001");
    }
    let plain = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if plain { Ok(Slot::new(&rest.to_ascii_lowercase())) } else { Err("its host is not a name or address") }
}

/// The host of a slot, without its port and the brackets of an IPv6 address.
#[must_use]
pub fn host(slot: &Slot) -> &str {
    let host = slot.as_str().rsplit_once(':').map_or(slot.as_str(), |(host, _)| host);
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// The port of a slot; 0 if it has none, which the parsers above never produce.
#[must_use]
pub fn port(slot: &Slot) -> u16 {
    slot.as_str().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0)
}

/// Which member this host is: its name must be an entry's first label, whole host or `host:port`, exactly.
///
/// # Errors
/// If it is none, or more than one.
pub fn find_me(name: &'static str, me: &str, hosts: &HostList) -> Result<Slot, ConfigError> {
    let wanted = canonical(me.trim());
    let fits = |slot: &Slot| {
        let host = host(slot);
        let label = host.split('.').next().filter(|_| host.parse::<std::net::IpAddr>().is_err());
        wanted == slot.as_str() || wanted == host || label == Some(wanted.as_str())
    };
    let all = hosts.slots();
    let mut found: Vec<Slot> = all.iter().filter(|slot| fits(slot)).cloned().collect();
    let seen = |slots: &[Slot]| slots.iter().map(Slot::to_string).collect();
    match (found.len(), found.pop()) {
        (1, Some(slot)) => Ok(slot),
        (0, _) | (_, None) => Err(ConfigError::NotAMember { name, me: me.to_owned(), seen: seen(&all) }),
        (_, Some(last)) => {
            found.push(last);
            Err(ConfigError::Ambiguous { name, me: me.to_owned(), seen: seen(&found) })
        }
    }
}

/// The spelling that [`slot`] and [`host`] use, for an IPv6 address with or without brackets, and with or without a port.
fn canonical(me: &str) -> String {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().ok();
    if let Some((inner, rest)) = me.strip_prefix('[').and_then(|me| me.split_once(']'))
        && let Some(address) = address(inner)
    {
        return if rest.is_empty() { address.to_string() } else { format!("[{address}]{rest}") };
    }
    address(me).map_or_else(|| me.to_ascii_lowercase(), |address| address.to_string())
}

/// Enough of a wrong value to recognise it, on one line.
fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
