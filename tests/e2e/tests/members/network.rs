//! Who reaches which port of a member.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::ensure;
use rauthy_e2e::scene::OPERATOR;
use rauthy_e2e::{eventually, play};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn strangers_reach_the_application_and_not_the_members_port_until_the_policy_is_switched_off()
-> anyhow::Result<()> {
    play("policy", async |scene| {
        scene.with_app(json!({})).await?;
        let ip = scene.app("rauthy-1").await?.ip;
        // The members are available, so they reach each other, and the operator reaches them. This test is outside of the pods.
        for port in [8080, 8081] {
            ensure!(connects(ip, port).await, "nobody reaches port {port}, which is open to all");
        }
        eventually("the members' port is closed to strangers", OPERATOR, async || {
            ensure!(!connects(ip, 8000).await, "it is open");
            anyhow::Ok(())
        })
        .await?;
        scene.app("rauthy-1").await?.put("key", "value").await?;

        scene.kubectl(&["patch", "rauthy", "rauthy", "--type=merge", "-p", OFF]).await?;
        eventually("it is open to all", OPERATOR, async || {
            ensure!(connects(ip, 8000).await, "it is closed");
            anyhow::Ok(())
        })
        .await?;
        // No member was restarted for it.
        ensure!(scene.app("rauthy-1").await?.ip == ip, "the pod is another one");
        scene.app("rauthy-2").await?.holds("key", Some("value")).await
    })
    .await
}

const OFF: &str = r#"{"spec": {"networkPolicy": {"enabled": false}}}"#;

async fn connects(ip: IpAddr, port: u16) -> bool {
    let address = SocketAddr::new(ip, port);
    timeout(Duration::from_secs(2), TcpStream::connect(address)).await.is_ok_and(|stream| stream.is_ok())
}
