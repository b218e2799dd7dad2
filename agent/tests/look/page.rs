//! The status page in Chromium.

use rauthy_client::PutOptions;
use rustix::process::Signal;

use super::browser::Browser;
use super::fleet::{Fleet, ready};

/// Chooses the narrow layout below.
const PHONE: (u32, u32) = (390, 844);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_is_and_what_becomes_of_it() {
    let fleet = Fleet::new(3, true).with("CACHE_MAX_BYTES", "8Mi");
    let mut agents = fleet.start_all();
    ready(&agents).await;
    let client = agents[0].client();
    for n in 0..200 {
        client
            .put("sessions", format!("canary key {n}"), "canary value", PutOptions::default())
            .await
            .unwrap();
        client.get("sessions", format!("canary key {n}")).await.unwrap();
        client.increment("<b>counters</b>", "n", 1, PutOptions::default()).await.unwrap();
    }
    let leader = client.status().await.unwrap().leader;

    let mut browser = Browser::start();
    browser.size(1280, 900, false);
    let origin = format!("http://127.0.0.1:{}", agents[0].http);
    browser.open(&format!("{origin}/"));
    browser.until("document.body.dataset.health === 'good'");
    browser.until(&format!("document.querySelector('#map .leads').dataset.slot === '{leader}'"));
    browser.until("document.querySelectorAll('#map .link:not(.down):not(.unknown)').length === 3");
    browser.until("document.querySelectorAll('#members .good').length >= 2");
    browser.until("document.getElementById('live').textContent === 'live'");
    browser.until("document.getElementById('values').textContent.startsWith('201 values')");
    // A name is text, whatever is in it.
    browser.until("document.getElementById('caches').textContent.includes('<b>counters</b>')");
    browser.until("document.getElementById('calls').textContent.includes('increment quorum')");
    // It lives: what comes now is seen without a word from anybody.
    for n in 0..300 {
        client.put("sessions", format!("more {n}"), vec![7; 1000], PutOptions::default()).await.unwrap();
    }
    browser.until("document.getElementById('values').textContent.startsWith('501 values')");
    browser.until("document.querySelectorAll('#members td.good').length === 4");
    browser.picture("light");
    browser.dark(true);
    browser.picture("dark");
    browser.size(PHONE.0, PHONE.1, true);
    browser.until("document.documentElement.scrollWidth <= window.innerWidth");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), PHONE.0);
    browser.picture("phone-dark");
    browser.dark(false);
    browser.picture("phone");
    browser.size(1280, 900, false);

    for agent in &agents[1..] {
        agent.signal(Signal::KILL);
    }
    browser.until("document.body.dataset.health === 'bad'");
    browser.until("document.getElementById('problems').textContent.includes('no quorum')");
    browser.until("document.querySelectorAll('#map .gone').length === 2");
    browser.until("document.querySelector('#map .leads') === null");
    browser.picture("no-quorum");
    browser.dark(true);
    browser.picture("no-quorum-dark");

    let text = browser.value("document.documentElement.outerHTML");
    let text = text.as_str().unwrap();
    assert!(text.contains("sessions") && !text.contains("canary"), "{text}");
    for request in browser.events("Network.requestWillBeSent") {
        let url = request["request"]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(&format!("{origin}/")) || url.starts_with("data:"), "it asked for {url}");
    }
    let said = |browser: &mut Browser| {
        let mut said = browser.events("Runtime.exceptionThrown");
        said.extend(browser.events("Log.entryAdded"));
        said.extend(browser.events("Runtime.consoleAPICalled"));
        said
    };
    let nothing = said(&mut browser);
    assert!(nothing.is_empty(), "the console says {nothing:#?}");

    // The policy holds even if something got into the page: no other place is asked, and nothing written there runs.
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", elsewhere.local_addr().unwrap());
    let asked = browser.value(&format!("fetch('{url}').then(() => 'came', () => 'refused')"));
    assert_eq!(asked, "refused");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "it knocked");
    browser.value(
        "{ const s = document.createElement('script'); s.text = 'window.ran = 1'; document.body.append(s) }",
    );
    browser.value("{ const d = document.createElement('div'); d.innerHTML = '<i onclick=\"window.ran = 1\"></i>'; document.body.append(d); d.firstChild.click() }");
    assert_eq!(browser.value("window.ran === undefined"), true);

    // The agent goes away: the page says so, and that what it shows is old.
    agents[0].signal(Signal::KILL);
    agents[0].gone();
    browser.until("document.getElementById('summary').textContent === 'This agent does not answer'");
    browser.picture("gone");
}
