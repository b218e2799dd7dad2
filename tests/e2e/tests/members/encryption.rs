//! With TLS nobody gets in who is not of the cluster; without it everything works as well. The network policy, which would
//! keep these tests away as well, is switched off here; `network.rs` is about it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rauthy_e2e::{eventually, play};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How an HTTP/2 client begins: the preface and an empty SETTINGS frame. A server that lets it in answers.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn without_tls_it_works_too() -> anyhow::Result<()> {
    play("plain", async |scene| {
        scene.with_app(json!({"tls": {"mode": "Disabled"}, "networkPolicy": {"enabled": false}})).await?;
        scene.app("rauthy-0").await?.put("key", "value").await?;
        let app = scene.app("rauthy-2").await?;
        eventually("it is read", Duration::from_secs(5), async || app.holds("key", Some("value")).await)
            .await?;
        let secrets = scene.kubectl(&["get", "secrets", "-o", "name"]).await?;
        ensure!(
            !secrets.lines().any(|s| s.ends_with("rauthy-ca") || s.ends_with("rauthy-tls")),
            "there are keys: {secrets}"
        );
        // So a plain client gets an answer, which proves that its kind of test below can see one.
        let ip = app.ip;
        let plain = TcpStream::connect((ip, 8000)).await?;
        ensure!(!answer(plain).await.is_empty(), "a plain client gets nothing without TLS");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_tls_a_plain_client_and_one_of_a_foreign_ca_get_nothing() -> anyhow::Result<()> {
    play("tls", async |scene| {
        scene.with_app(json!({"networkPolicy": {"enabled": false}})).await?;
        let ip = scene.app("rauthy-0").await?.ip;
        let ca = scene.secret("rauthy-tls", "ca.crt").await?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&ca) {
            roots.add(certificate?)?;
        }
        let trust = || ClientConfig::builder().with_root_certificates(roots.clone());

        let (chain, key) =
            (scene.secret("rauthy-tls", "tls.crt").await?, scene.secret("rauthy-tls", "tls.key").await?);
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
        let own = trust().with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?;
        let heard = tls(ip, own).await.context("the cluster's own certificate is refused")?;
        ensure!(
            !heard.is_empty(),
            "the cluster's own certificate gets nothing, so this test can see nothing"
        );

        let (chain, key) = foreign()?;
        let foreign = trust().with_client_auth_cert(vec![chain], key)?;
        for (who, config) in [
            ("a foreign CA's client", foreign),
            ("a client without a certificate", trust().with_no_client_auth()),
        ] {
            let heard = tls(ip, config).await.unwrap_or_default();
            ensure!(heard.is_empty(), "{who} gets {heard:?}");
        }
        let heard = answer(TcpStream::connect((ip, 8000)).await?).await;
        // At most a TLS alert (content type 21).
        ensure!(heard.first().is_none_or(|first| *first == 21), "a plain client gets {heard:?}");
        Ok(())
    })
    .await
}

/// What the server answers over TLS; empty when it ends the connection.
async fn tls(ip: IpAddr, mut config: ClientConfig) -> anyhow::Result<Vec<u8>> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect((ip, 8000)).await?;
    let name = ServerName::try_from("rauthy-0.rauthy")?;
    Ok(answer(TlsConnector::from(Arc::new(config)).connect(name, stream).await?).await)
}

/// Says hello; what comes back before the server ends the connection or falls silent.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<u8> {
    let mut heard = vec![0; 1024];
    let exchange = async {
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        stream.read(&mut heard).await
    };
    let length = tokio::time::timeout(Duration::from_secs(10), exchange).await;
    heard.truncate(length.map_or(0, |read| read.unwrap_or(0)));
    heard
}

/// A client's certificate by a CA that nobody here knows, and its key.
fn foreign() -> anyhow::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca, KeyPair::generate()?);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["rauthy-1.rauthy".to_owned()])?.signed_by(&key, &issuer)?;
    Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}
