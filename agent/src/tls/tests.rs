//! Files that change, are swapped, or hold something wrong.

use std::os::unix::fs::symlink;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

fn write(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), leaf.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

fn files(folder: &Path) -> TlsFiles {
    let pair = Pair { cert: folder.join("tls.crt"), key: folder.join("tls.key") };
    TlsFiles {
        server: pair.clone(),
        client: Some(pair),
        ca_server: folder.join("ca.crt"),
        ca_client: Some(folder.join("ca.crt")),
        validate_domain: None,
    }
}

/// A folder as the kubelet makes it: files are links into `..data`, which is a link itself.
fn volume(folder: &Path, version: &str) {
    write(&folder.join(version));
    let link = folder.join("..tmp");
    symlink(version, &link).unwrap();
    std::fs::rename(link, folder.join("..data")).unwrap();
    for file in ["ca.crt", "tls.crt", "tls.key"] {
        let _ = symlink(Path::new("..data").join(file), folder.join(file));
    }
}

#[test]
fn a_swapped_volume_is_taken_whole() {
    let dir = tempfile::tempdir().unwrap();
    volume(dir.path(), "..one");
    let tls = Tls::load(files(dir.path())).unwrap();
    assert!(tls.expires_in_s() > 0);
    let before = tls.server();
    assert_eq!(tls.look(), Look::Same);
    volume(dir.path(), "..two");
    assert_eq!(tls.look(), Look::Reloaded);
    assert!(!Arc::ptr_eq(&before, &tls.server()));
    assert_eq!(tls.look(), Look::Same);
}

#[test]
fn a_bad_file_keeps_the_old_and_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let tls = Tls::load(files(dir.path())).unwrap();
    let before = tls.server();
    // The key of another certificate.
    std::fs::write(dir.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(tls.look(), Look::Refused(TlsError::Pair { .. })));
    assert_eq!(tls.look(), Look::Same);
    std::fs::write(dir.path().join("tls.key"), "garbage").unwrap();
    assert!(matches!(tls.look(), Look::Refused(TlsError::Empty { want: "private key", .. })));
    std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
    assert!(matches!(tls.look(), Look::Refused(TlsError::Read { name: "CACHE_TLS_CA_SERVER", .. })));
    assert_eq!(tls.look(), Look::Same);
    assert!(Arc::ptr_eq(&before, &tls.server()));
    write(dir.path());
    assert_eq!(tls.look(), Look::Reloaded);
}

#[test]
fn wrong_files_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    std::fs::write(dir.path().join("tls.crt"), "").unwrap();
    let error = Tls::load(files(dir.path())).unwrap_err().to_string();
    assert!(error.contains("CACHE_TLS_SERVER_CERT") && error.contains("tls.crt"), "{error}");
}
