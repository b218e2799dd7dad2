//! A small application with the cache inside: sessions, codes that are used once, and a limit on wrong passwords.
//!
//! ```text
//! cargo run -p rauthy-agent --example embedded                     one process, alone
//! HA_MODE=true HA_HOSTS=… CACHE_AUTH_TOKEN=… cargo run …           a member of a cluster
//! ```

use std::time::Duration;

use rauthy_agent::embedded::{Cache, Config, Error, Filter, Limits, PutOptions, Typed, Watched};
use serde::{Deserialize, Serialize};

/// Wrong passwords in a quarter of an hour.
const WRONG_PASSWORDS: i64 = 5;
const QUARTER: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Serialize, Deserialize)]
struct Session {
    user: String,
    roles: Vec<String>,
}

/// What a code stands for until it is exchanged.
#[derive(Debug, Serialize, Deserialize)]
struct Grant {
    user: String,
    scope: String,
}

struct Application {
    cache: Cache,
    sessions: Typed<Session>,
    codes: Typed<Grant>,
}

impl Application {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let cache = Cache::start(Config::from_env()?).await?;
        cache.ready(Duration::from_secs(60)).await?;
        let lives = |ttl| Limits { ttl: Some(ttl), ..Limits::default() };
        let sessions = cache.declare("sessions", lives(Duration::from_secs(8 * 3600))).await?;
        let codes = cache.declare("codes", lives(Duration::from_secs(60))).await?;
        Ok(Self { cache, sessions, codes })
    }

    /// For every request: no channel, no network. An error is not "logged out": it is "ask again".
    fn session(&self, cookie: &str) -> Result<Option<Session>, Error> {
        self.sessions.get(cookie)
    }

    /// Of all who bring the same code, on whichever member, one gets the grant.
    async fn exchange(&self, code: &str) -> Result<Option<Grant>, Error> {
        self.codes.take(code).await
    }

    /// Counts a wrong password; true: no more tries for now.
    async fn wrong_password(&self, user: &str) -> Result<bool, Error> {
        let options = PutOptions { ttl: Some(QUARTER), ..PutOptions::default() };
        Ok(self.cache.increment("wrong-passwords", user.to_owned(), 1, options).await? >= WRONG_PASSWORDS)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let application = Application::start().await?;
    println!("{} is ready: {:?}", application.cache.slot(), *application.cache.health().borrow());

    // What others change is told here, too; for example to close the streams of who is logged out.
    let mut watcher =
        application.cache.watch(Filter { cache: Some("sessions".into()), ..Filter::default() }, None);
    tokio::spawn(async move {
        while let Some(watched) = watcher.next().await {
            if let Watched::Changes(changes, _) = watched {
                println!("{} changes of sessions", changes.len());
            }
        }
    });

    let grant = Grant { user: "alice".into(), scope: "openid".into() };
    application.codes.put("a-code", &grant).await?;
    println!("the first exchange: {:?}", application.exchange("a-code").await?);
    println!("the second one:     {:?}", application.exchange("a-code").await?);

    let session = Session { user: "alice".into(), roles: vec!["admin".into()] };
    application.sessions.put("a-cookie", &session).await?;
    println!("a request:          {:?}", application.session("a-cookie")?);
    application.sessions.delete("a-cookie").await?;
    println!("after the logout:   {:?}", application.session("a-cookie")?);
    for _ in 1..WRONG_PASSWORDS {
        application.wrong_password("bob").await?;
    }
    println!("bob has to wait:    {}", application.wrong_password("bob").await?);

    application.cache.shutdown().await;
    Ok(())
}
