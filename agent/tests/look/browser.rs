//! Chromium without a window, told what to do over a pair of pipes: no driver, no socket, no download.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
/// Names of the program, the smallest first.
const PROGRAMS: &[&str] =
    &["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

pub struct Browser {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    next: u64,
    /// What it told without being asked.
    events: VecDeque<Value>,
    _profile: TempDir,
}

fn program() -> String {
    let named = std::env::var("CHROMIUM").ok();
    let path = std::env::var("PATH").unwrap_or_default();
    let exists = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    named.or_else(|| PROGRAMS.iter().find(|name| exists(name)).map(|name| (*name).to_owned())).expect(
        "no Chromium is found; `make test` installs it, by hand: apt-get install chromium-headless-shell",
    )
}

impl Browser {
    /// An empty page.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let program = program();
        // The browser reads from descriptor 3 and writes to 4. Its own sandbox needs more rights than a container has,
        // and it shows nothing but our own page.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#, &program])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, out) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (tx, from) = channel();
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            loop {
                let mut message = Vec::new();
                if out.read_until(0, &mut message).unwrap_or(0) == 0 {
                    return;
                }
                message.pop();
                if let Ok(message) = serde_json::from_slice(&message)
                    && tx.send(message).is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            to,
            from,
            session: String::new(),
            next: 1,
            events: VecDeque::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.from.recv_timeout(left) {
                Ok(mut answer) if answer["id"] == id => {
                    assert!(answer.get("error").is_none(), "{method}: {answer}");
                    return answer["result"].take();
                }
                Ok(event) => self.events.push_back(event),
                Err(RecvTimeoutError::Timeout) => panic!("the browser does not answer {method}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the browser has ended at {method}"),
            }
        }
    }

    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{opened}");
    }

    /// What an expression is in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + DEADLINE;
        // While it loads, there may be nothing to ask.
        let asked =
            format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        while self.value(&asked) != true {
            if Instant::now() > deadline {
                let shown = self.value("document.body.innerText");
                panic!("it does not become true: {expression}; the page shows: {shown}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn size(&mut self, width: u32, height: u32, phone: bool) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    pub fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// A picture of the whole page, if a folder for such is named by SCREENSHOTS.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// What it told of this kind so far.
    pub fn events(&mut self, method: &str) -> Vec<Value> {
        self.value("0");
        self.events.iter().filter(|e| e["method"] == method).map(|e| e["params"].clone()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
