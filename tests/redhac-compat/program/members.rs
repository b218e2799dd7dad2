//! Members in processes of their own, whose settings are in a file `.env`: with TLS, each asked for its certificate.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use redhac::{
    AckLevel, CacheConfig, QuorumHealth, SizedCache, cache_get, cache_get_from, cache_get_value,
    cache_insert, start_cluster,
};

use super::support::{DEADLINE, own_process, passed, ports};

const CACHE: &str = "shared";
const MEMBER: &str = "members::member";

/// A folder that is gone when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends what it holds, also after a panic.
struct Members(Vec<Child>);

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.0 {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("the program openssl (`apt-get install openssl`)");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate that stands for the one name that redhac's certificates carry.
fn certificates(folder: &Path) {
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(folder, &format!("req -x509 {curve} -keyout ca.key -out ca.pem -subj /CN=authority"));
    openssl(folder, &format!("req {curve} -keyout node.key -out node.csr -subj /CN=redhac.local"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:redhac.local\n").unwrap();
    let signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out node.pem";
    openssl(folder, &format!("x509 -req -in node.csr {signed}"));
}

/// What a member finds in its folder.
fn settings(all: &Path, hosts: &str, me: &str) -> String {
    let mut text = format!("HA_HOSTS=\"{hosts}\"\nHOSTNAME_OVERWRITE={me}\n");
    text += "CACHE_AUTH_TOKEN=SuperSafeSecretToken1337\nCACHE_TLS=true\n";
    for (name, file) in [
        ("CACHE_TLS_SERVER_CERT", "node.pem"),
        ("CACHE_TLS_SERVER_KEY", "node.key"),
        ("CACHE_TLS_CLIENT_CERT", "node.pem"),
        ("CACHE_TLS_CLIENT_KEY", "node.key"),
        ("CACHE_TLS_CA_SERVER", "ca.pem"),
        ("CACHE_TLS_CA_CLIENT", "ca.pem"),
    ] {
        writeln!(text, "{name}={}", all.join(file).display()).unwrap();
    }
    text
}

#[test]
fn three_processes_with_tls_and_a_file_of_settings() {
    let all = std::env::temp_dir().join(format!("redhac-members-{}", std::process::id()));
    std::fs::create_dir_all(&all).unwrap();
    let all = Folder(all);
    certificates(&all.0);
    let ports: [u16; 3] = ports();
    let hosts = ports.map(|port| format!("https://127.0.0.1:{port}")).join(", ");
    let mut members = Members(Vec::new());
    for port in ports {
        let folder = all.0.join(port.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(".env"), settings(&all.0, &hosts, &format!("127.0.0.1:{port}"))).unwrap();
        members.0.push(own_process(MEMBER, &[("HA_MODE", "true")], &folder));
        // redhac's members of the same age can deadlock over who leads; one after the other they do not.
        std::thread::sleep(Duration::from_millis(500));
    }
    // A member that has seen what all wrote says so, and stays until all have.
    let begun = Instant::now();
    let seen = |port: &u16| all.0.join(port.to_string()).join("seen").exists();
    while !ports.iter().all(seen) && begun.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::write(all.0.join("go"), "").unwrap();
    for member in std::mem::take(&mut members.0) {
        passed(MEMBER, member.wait_with_output().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by three_processes_with_tls_and_a_file_of_settings"]
async fn member() {
    let (tell, mut config) = CacheConfig::new();
    config.spawn_cache(CACHE.into(), SizedCache::with_size(64), None);
    start_cluster(tell, &mut config, None, None).await.unwrap();
    let text = std::fs::read_to_string(".env").unwrap();
    let line =
        |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim_matches('"').to_owned();
    let me = line("HOSTNAME_OVERWRITE=");
    let all: Vec<_> =
        line("HA_HOSTS=").split(", ").map(|h| h.trim_start_matches("https://").to_owned()).collect();
    assert_eq!(all.len(), 3);
    let begun = Instant::now();
    let mut seen = false;
    while !Path::new("../go").exists() {
        assert!(begun.elapsed() < 2 * DEADLINE, "nobody says that all have seen it");
        // Again and again: redhac's members keep nothing for one that comes later.
        let written = cache_insert(CACHE.into(), me.clone(), &config, &me, AckLevel::Quorum).await;
        let mut found = Vec::new();
        for host in &all {
            found.push(
                cache_get!(String, CACHE.to_string(), host.clone(), &config, false).await.unwrap_or(None),
            );
        }
        let health = config.rx_health_state.borrow().clone().unwrap();
        let right = found.iter().zip(&all).all(|(found, host)| found.as_ref() == Some(host));
        if !seen && right && written.is_ok() && health.health == QuorumHealth::Good {
            assert_eq!(health.connected_hosts, 2);
            seen = true;
            std::fs::write("seen", "").unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen, "{:?}", config.rx_health_state.borrow());
    config.shutdown().await.unwrap();
}
