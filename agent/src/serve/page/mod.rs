//! The status page: one document that asks for nothing but `/status.json` of the agent that it came from.
//!
//! ```text
//! page.html + page.css + page.js ─▶ one document, named by its hashes in the Content-Security-Policy
//! Handle ─▶ Picture { node, verdict, figures } ─▶ /status.json, once a second
//! ```
//!
//! Names of caches and members are in it, and figures; never a key, a value or a secret.

mod figures;

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::probes::STUCK;
use crate::runtime::Handle;
use crate::view::{NodeView, Verdict, verdict};
pub use figures::Figures;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// The document and the policy that allows it, and nothing else, to do anything.
struct Document {
    html: String,
    policy: HeaderValue,
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(JS),
        hash(CSS)
    );
    Document {
        html: HTML.replacen("{style}", CSS, 1).replacen("{script}", JS, 1),
        // Without a policy nothing in the document would run, which is safe.
        policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
    }
});

/// Everything that the page shows.
#[derive(Debug, Serialize)]
pub struct Picture {
    /// How this node sees its cluster; as `ctl status -o json`.
    pub node: NodeView,
    /// Whether that is well.
    pub verdict: Verdict,
    /// What the agent counts.
    pub figures: Figures,
}

impl Picture {
    /// The present one.
    pub async fn of(handle: &Handle) -> Self {
        let node = NodeView::from(&handle.status().await);
        Self { verdict: verdict(&node), figures: Figures::of(&handle.metrics()), node }
    }
}

/// `/`
pub(super) async fn document() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, DOCUMENT.policy.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, DOCUMENT.html.as_str()).into_response()
}

/// `/status.json`
pub(super) async fn status(State(handle): State<Handle>) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    match tokio::time::timeout(STUCK, Picture::of(&handle)).await {
        Ok(picture) => (headers, Json(picture)).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the consensus task does not answer\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_whole_and_names_no_other_place() {
        let html = &DOCUMENT.html;
        assert!(html.contains(CSS) && html.contains(JS));
        for parts in ["{style}", "{script}", "http://", "https://", "url(", "@import", " onclick=", " style="]
        {
            let allowed =
                if parts == "http://" { html.matches("http://www.w3.org/2000/svg").count() } else { 0 };
            assert_eq!(html.matches(parts).count(), allowed, "{parts}");
        }
        let policy = DOCUMENT.policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
