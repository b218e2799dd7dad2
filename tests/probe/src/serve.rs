//! The probe's HTTP side.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use rauthy_client::{AckLevel, Client, PutOptions};
use serde::Deserialize;

use crate::history::Answer;

/// What the handlers share.
#[derive(Clone, Debug)]
struct App {
    client: Client,
}

/// All routes, served by `client`.
pub fn router(client: Client) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        // Where Rauthy is asked.
        .route("/auth/v1/health", get(async || "ok\n"))
        .route("/auth/v1/ping", get(async || "ok\n"))
        .route("/put", post(put))
        .route("/delete", post(delete))
        .route("/get", get(read))
        .route("/get-all", get(read_all))
        .route("/fill", post(fill))
        .with_state(App { client })
}

#[derive(Deserialize)]
struct Key {
    cache: String,
    key: String,
}

#[derive(Deserialize)]
struct Put {
    cache: String,
    key: String,
    value: String,
    #[serde(default)]
    ack: String,
    deadline_ms: Option<u64>,
    ttl_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Range {
    cache: String,
    prefix: String,
    #[serde(default)]
    from: u64,
    count: u64,
    /// Bytes of each value.
    #[serde(default)]
    size: usize,
}

async fn put(State(app): State<App>, Query(q): Query<Put>) -> Json<Answer> {
    let options = PutOptions {
        ttl: q.ttl_ms.map(Duration::from_millis),
        ack: if q.ack == "leader" { AckLevel::Leader } else { AckLevel::Quorum },
        deadline: q.deadline_ms.map(Duration::from_millis),
    };
    let answer = app.client.put(&q.cache, q.key, q.value, options).await;
    Json(answer.map_or_else(Answer::from, |version| Answer::ok(None, Some(version))))
}

async fn delete(State(app): State<App>, Query(q): Query<Key>) -> Json<Answer> {
    let answer = app.client.delete(&q.cache, q.key, AckLevel::Quorum).await;
    Json(answer.map_or_else(Answer::from, |_| Answer::ok(None, None)))
}

async fn read(State(app): State<App>, Query(q): Query<Key>) -> Json<Answer> {
    Json(read_one(&app.client, &q.cache, q.key).await)
}

async fn read_all(State(app): State<App>, Query(q): Query<Range>) -> Json<Vec<Answer>> {
    let mut answers = Vec::new();
    for i in q.from..q.from.saturating_add(q.count) {
        answers.push(read_one(&app.client, &q.cache, format!("{}-{i}", q.prefix)).await);
    }
    Json(answers)
}

async fn read_one(client: &Client, cache: &str, key: String) -> Answer {
    match client.get(cache, key).await {
        Ok(Some(found)) => {
            Answer::ok(Some(String::from_utf8_lossy(&found.value).into_owned()), Some(found.version))
        }
        Ok(None) => Answer::ok(None, None),
        Err(error) => Answer::from(error),
    }
}

/// Stores `count` values of `size` bytes each, and stops at the first that is not acknowledged.
async fn fill(State(app): State<App>, Query(q): Query<Range>) -> Json<Answer> {
    for i in 0..q.count {
        let mut value = i.to_string();
        value.push_str(&".".repeat(q.size.saturating_sub(value.len())));
        let key = format!("{}-{i}", q.prefix);
        if let Err(error) = app.client.put(&q.cache, key, value, PutOptions::default()).await {
            return Json(Answer { version: Some(i), ..Answer::from(error) });
        }
    }
    Json(Answer::ok(None, Some(q.count)))
}
