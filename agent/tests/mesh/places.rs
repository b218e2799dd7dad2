//! Where peers are looked for: names, both families of addresses, and addresses that are wrong.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rauthy_agent::mesh::addresses::Lookup;
use rauthy_core::Slot;

use super::support::*;

/// Leads to these addresses, and writes down what was asked for, and when.
type Asked = Arc<Mutex<Vec<(String, Instant)>>>;

fn leads_to(answers: Vec<SocketAddr>) -> (Lookup, Asked) {
    let asked = Asked::default();
    let notes = asked.clone();
    let lookup: Lookup = Arc::new(move |host, _| {
        notes.lock().unwrap().push((host, Instant::now()));
        let answers = answers.clone();
        Box::pin(async move { Ok(answers) })
    });
    (lookup, asked)
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[tokio::test]
async fn names_are_not_asked_for_too_early_and_never_the_own_one() {
    let (port_a, port_b) = (port(), port());
    let (a, b) = (Slot::new(&format!("a.test:{port_a}")), Slot::new(&format!("b.test:{port_b}")));
    let ((to_b, asked), (to_a, asked_of_a)) = (leads_to(vec![local(port_b)]), leads_to(vec![local(port_a)]));
    let started = Instant::now();
    let one = Spec { lookup: Some(to_b), ..Spec::new(&a, [&a, &b]) }.start();
    let other = Spec { lookup: Some(to_a), ..Spec::new(&b, [&a, &b]) }.start();
    one.connected(&b).await;
    other.connected(&a).await;
    for (asked, only) in [(asked, "b.test"), (asked_of_a, "a.test")] {
        for (host, when) in asked.lock().unwrap().iter() {
            assert_eq!(host, only);
            assert!(when.duration_since(started).as_millis() >= 1000, "a record may not be there yet");
        }
    }
}

#[tokio::test]
async fn an_address_of_somebody_else_is_not_the_last_word() {
    let (a, b) = two();
    let c = Slot::new(&format!("127.0.0.1:{}", port()));
    let slots = vec![a.clone(), b.clone(), c.clone()];
    // First the address of `c`, as when it was given the one that `b` had.
    let at = |slot: &Slot| -> SocketAddr { slot.as_str().parse().unwrap() };
    // Told apart by their addresses, as pods are.
    let second = SocketAddr::from(([127, 0, 0, 3], at(&b).port()));
    let (lookup, _) = leads_to(vec![at(&c), second]);
    let spec = |slot: &Slot| Spec { slots: slots.clone(), ..Spec::new(slot, [&a, &b]) };
    let other = Spec { slots: vec![b.clone(), a.clone()], ..spec(&b) };
    let _c = spec(&c).start();
    // Only `a` dials: the others are led nowhere.
    let nowhere = || leads_to(Vec::new()).0;
    let other = Spec { lookup: Some(nowhere()), ..other }.start();
    let one = Spec { lookup: Some(lookup), ..spec(&a) }.start();
    one.connected(&b).await;
    other.connected(&a).await;
    assert!(one.refused("WRONG_SLOT") > 0, "it was led to the wrong one first");
}

/// The same node by both families at once.
#[tokio::test]
async fn both_families_lead_to_a_peer() {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("this host has no IPv6: not tested");
        return;
    }
    let (port_a, port_b, port_c) = (port(), port(), port());
    let six = Slot::new(&format!("[::1]:{port_a}"));
    let (four, third) = (Slot::new(&format!("127.0.0.1:{port_b}")), Slot::new(&format!("[::1]:{port_c}")));
    let slots = vec![six.clone(), four.clone(), third.clone()];
    let nodes: Vec<_> = slots
        .iter()
        .map(|slot| Spec { slots: slots.clone(), ..Spec::new(slot, [&six, &four]) }.start())
        .collect();
    for node in &nodes {
        for peer in slots.iter().filter(|peer| **peer != node.slot) {
            node.connected(peer).await;
        }
    }
    // And with certificates that name addresses of either family.
    let dir = tempfile::tempdir().unwrap();
    let files = tls(dir.path());
    let (six, four) = (Slot::new(&format!("[::1]:{}", port())), Slot::new(&format!("127.0.0.1:{}", port())));
    let spec = |slot| Spec { tls: Some(files.clone()), ..Spec::new(slot, [&six, &four]) };
    let (one, other) = (spec(&six).start(), spec(&four).start());
    one.connected(&four).await;
    other.connected(&six).await;
    // One that answers in one family only, where the name has both.
    let silent = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
    let (a, b) = two();
    let (lookup, _) = leads_to(vec![silent, b.as_str().parse().unwrap()]);
    let one = Spec { lookup: Some(lookup), port: Some(port()), ..Spec::new(&a, [&a, &b]) }.start();
    let _other = Spec::new(&b, [&a, &b]).start();
    one.connected(&b).await;
}
