//! `ctl status`, once or again and again.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use rauthy_client::{Client, Error};
use tokio::time::sleep;

use super::table;
use crate::view::NodeView;

/// Back to the upper left; what is left of the picture before is cleared line by line, so that nothing flickers.
const HOME: &str = "\x1b[H";
const CLEAR: &str = "\x1b[2J\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Shows until it is interrupted, or nobody reads any more. An agent that does not answer is said, and asked again.
pub(super) async fn run(client: &Client, interval: Duration, json: bool, colours: bool) -> Result<(), Error> {
    let terminal = std::io::stdout().is_terminal() && !json;
    let mut begin = CLEAR;
    loop {
        let text = match client.status().await {
            Ok(status) if json => {
                let mut line = serde_json::to_string(&NodeView::from(&status)).unwrap_or_default();
                line.push('\n');
                line
            }
            Ok(status) => table::status(&NodeView::from(&status), colours),
            Err(error) if json => {
                eprintln!("rauthy-agent ctl: {error}");
                String::new()
            }
            Err(error) => format!("✗ {error}\n"),
        };
        let text = if terminal {
            format!("{begin}{}{REST_OF_SCREEN}", text.replace('\n', &format!("{REST_OF_LINE}\n")))
        } else {
            text
        };
        begin = HOME;
        let mut out = std::io::stdout();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        sleep(interval).await;
    }
}
