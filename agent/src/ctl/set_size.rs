//! `ctl set-size`: carries out what the host list announces, as the operator does on Kubernetes.
//!
//! The socket of the application cannot change who is a member: this asks the leader over the mesh, with the token and
//! the certificates of the agent's own environment.

use std::path::Path;
use std::time::Duration;

use rauthy_client::{Client, Error};
use rauthy_core::Slot;
use rauthy_proto::admin::admin_reply::Reply;
use rauthy_proto::admin::admin_request::Request;
use rauthy_proto::admin::set_size_reply::Result as SizeResult;
use rauthy_proto::admin::size_refusal::Reason;
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest, SizeProgress};
use tokio::time::{Instant, sleep};

use super::Outcome;
use crate::config::{Config, hosts};
use crate::mesh::ask::{Asker, ask};

/// How often to ask again while it is under way.
const INTERVAL: Duration = Duration::from_millis(500);

/// How an attempt went.
enum Attempt {
    Done,
    /// Not yet; why.
    Again(String),
    /// It cannot be.
    Never(String),
}

pub(super) async fn run(client: &Client, file: &Path, wait: Duration, json: bool) -> Result<Outcome, Error> {
    let invalid = |e: &dyn std::fmt::Display| Error::Invalid(e.to_string());
    let uname = rustix::system::uname();
    let hostname = uname.nodename().to_string_lossy();
    let env = |name: &str| std::env::var(name).ok();
    let config = Config::from(&env, &hostname, &|path| std::fs::read_to_string(path))
        .map_err(|e| Error::Invalid(format!("the environment is not that of an agent of a cluster: {e}")))?;
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::Invalid(format!("--hosts-file {} cannot be read: {e}", file.display())))?;
    let list = hosts::from_json("--hosts-file", &text).map_err(|e| invalid(&e))?;
    let names = |slots: &[Slot]| slots.iter().map(Slot::to_string).collect::<Vec<_>>();
    let request = SetSizeRequest {
        epoch: list.epoch,
        now: names(&list.now),
        next: list.next.as_deref().map(names).unwrap_or_default(),
    };
    let asker = Asker::new(&config).map_err(|e| invalid(&e))?;
    let deadline = Instant::now() + wait;
    loop {
        let leader = client.status().await?.leader;
        let attempt = if leader.is_empty() {
            Attempt::Again("nobody is known to lead".into())
        } else {
            judge(ask(&asker, &Slot::new(&leader), Request::SetSize(request.clone())).await)
        };
        let (done, words) = match attempt {
            Attempt::Done => (true, "the size of the cluster is as the host list says".to_owned()),
            Attempt::Never(why) => (false, why),
            Attempt::Again(why) if Instant::now() >= deadline => {
                (false, format!("not done after {} s: {why}; it may be repeated at will", wait.as_secs()))
            }
            Attempt::Again(_) => {
                sleep(INTERVAL).await;
                continue;
            }
        };
        let outcome = if json {
            Outcome::json(&serde_json::json!({
                "done": done, "epoch": request.epoch, "now": request.now, "next": request.next, "message": words,
            }))
        } else {
            Outcome::done(format!("{words}\n"))
        };
        return Ok(if done { outcome } else { outcome.refused() });
    }
}

fn judge(answer: Result<Reply, crate::mesh::ask::AskError>) -> Attempt {
    match answer {
        Ok(Reply::SetSize(SetSizeReply { result: Some(SizeResult::Progress(progress)) })) => {
            match SizeProgress::try_from(progress) {
                Ok(SizeProgress::Done) => Attempt::Done,
                _ => Attempt::Again("it is under way".into()),
            }
        }
        Ok(Reply::SetSize(SetSizeReply { result: Some(SizeResult::Refusal(refusal)) })) => {
            match refusal.reason() {
                Reason::NotLeader | Reason::Unconfirmed | Reason::NotCaughtUp => {
                    Attempt::Again(refusal.message)
                }
                Reason::OtherConfiguration | Reason::Malformed | Reason::Unspecified => {
                    Attempt::Never(refusal.message)
                }
            }
        }
        Ok(Reply::Error(error)) => Attempt::Again(error),
        Ok(_) => Attempt::Never("the leader answered something else than what was asked".into()),
        Err(error) => Attempt::Again(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rauthy_proto::admin::SizeRefusal;

    #[test]
    fn what_may_come_right_is_asked_again() {
        let reply = |result| Ok(Reply::SetSize(SetSizeReply { result: Some(result) }));
        let refusal = |reason: Reason| {
            reply(SizeResult::Refusal(SizeRefusal { reason: reason.into(), ..SizeRefusal::default() }))
        };
        let progress = |progress: SizeProgress| reply(SizeResult::Progress(progress.into()));
        assert!(matches!(judge(progress(SizeProgress::Done)), Attempt::Done));
        for again in [
            progress(SizeProgress::UnderWay),
            progress(SizeProgress::Preparing),
            refusal(Reason::NotLeader),
            refusal(Reason::Unconfirmed),
            refusal(Reason::NotCaughtUp),
            Ok(Reply::Error("stopping".into())),
        ] {
            assert!(matches!(judge(again), Attempt::Again(_)));
        }
        for never in [refusal(Reason::OtherConfiguration), refusal(Reason::Malformed)] {
            assert!(matches!(judge(never), Attempt::Never(_)));
        }
    }
}
