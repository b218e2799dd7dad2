//! What the operator asks, on a stream of its own.

use rauthy_core::{SizeChange, SizeProgress, SizeRefusal, Slot};
use rauthy_proto::admin::admin_reply::Reply;
use rauthy_proto::admin::admin_request::Request;
use rauthy_proto::admin::set_size_reply::Result as SizeResult;
use rauthy_proto::admin::size_refusal::Reason;
use rauthy_proto::admin::{
    self, AdminReply, AdminRequest, SetSizeReply, SetSizeRequest, TransferLeadershipReply,
};
use rauthy_proto::mesh::Frame;
use rauthy_proto::mesh::frame::Frame as Kind;
use tokio::sync::oneshot;
use tonic::Streaming;

use super::queue::Sender;
use super::wire::parts;
use super::{Asked, Inner};

/// More slots than any cluster has.
const SLOTS: usize = 32;

/// Answers one request after the other until the stream ends.
pub(super) async fn serve(mesh: &Inner, tx: &Sender, rx: &mut Streaming<Frame>) {
    let requests = async {
        while let Ok(Some(Frame { frame: Some(Kind::AdminRequest(request)) })) = rx.message().await {
            let reply = Some(Kind::AdminReply(answer(mesh, request).await));
            if tx.send(Frame { frame: reply }).await.is_err() {
                return;
            }
        }
    };
    mesh.stop.run_until_cancelled(requests).await;
}

async fn answer(mesh: &Inner, request: AdminRequest) -> AdminReply {
    let reply = match request.request {
        Some(Request::Status(question)) => {
            let told = question.addresses.iter().map(|told| (told.slot.as_str(), told.ip.as_str()));
            mesh.hints.learn(&mesh.me, told);
            ask(mesh, Asked::Status).await.map(Reply::Status)
        }
        Some(Request::SetSize(wanted)) => match change(wanted) {
            Some(change) => ask(mesh, |reply| Asked::SetSize(change, reply)).await.map(size),
            None => Some(size(Err(SizeRefusal::Malformed))),
        },
        Some(Request::TransferLeadership(_)) => ask(mesh, Asked::TransferLeadership)
            .await
            .map(|leads| Reply::TransferLeadership(TransferLeadershipReply { leads })),
        None => {
            Some(Reply::Error("this agent does not know such a request: it is older than who asks".into()))
        }
    };
    let reply = reply.unwrap_or_else(|| Reply::Error("this agent is stopping".into()));
    AdminReply { id: request.id, reply: Some(reply) }
}

async fn ask<T>(mesh: &Inner, question: impl FnOnce(oneshot::Sender<T>) -> Asked) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    mesh.asked.send(question(reply)).await.ok()?;
    answer.await.ok()
}

/// Reads a change; `None` if it cannot be one.
#[must_use]
pub fn change(wanted: SetSizeRequest) -> Option<SizeChange> {
    let slots = |names: &[String]| -> Option<Vec<Slot>> {
        let names = Some(names).filter(|names| names.len() <= SLOTS)?;
        names.iter().map(|name| parts::slot(name).ok()).collect()
    };
    let next = slots(&wanted.next)?;
    Some(SizeChange {
        epoch: parts::count(wanted.epoch).ok()?,
        now: slots(&wanted.now)?,
        next: Some(next).filter(|next| !next.is_empty()),
    })
}

fn size(result: Result<SizeProgress, SizeRefusal>) -> Reply {
    let result = match result {
        Ok(progress) => SizeResult::Progress(match progress {
            SizeProgress::Done => admin::SizeProgress::Done.into(),
            SizeProgress::UnderWay => admin::SizeProgress::UnderWay.into(),
            SizeProgress::Preparing => admin::SizeProgress::Preparing.into(),
        }),
        Err(refusal) => SizeResult::Refusal(refused(refusal)),
    };
    Reply::SetSize(SetSizeReply { result: Some(result) })
}

fn refused(refusal: SizeRefusal) -> admin::SizeRefusal {
    let (reason, message, have, need, epoch) = match refusal {
        SizeRefusal::NotLeader => {
            (Reason::NotLeader, "this member does not lead: ask the one that does".to_owned(), 0, 0, 0)
        }
        SizeRefusal::Unconfirmed { confirmed, needed } => {
            let message = format!(
                "{confirmed} members confirm the host list of this change or a later one, {needed} must: wait until they read it"
            );
            (Reason::Unconfirmed, message, confirmed, needed, 0)
        }
        SizeRefusal::NotCaughtUp { caught_up, needed } => {
            let message =
                format!("{caught_up} of the new slots have a member with a copy of the data, {needed} must");
            (Reason::NotCaughtUp, message, caught_up, needed, 0)
        }
        SizeRefusal::OtherConfiguration { epoch } => {
            let message = format!(
                "the configuration in force, number {epoch}, is not the one that this change begins with"
            );
            (Reason::OtherConfiguration, message, 0, 0, epoch)
        }
        SizeRefusal::Malformed => {
            let message =
                "a list of slots is empty, too long, or names a slot twice, or the epoch cannot be one";
            (Reason::Malformed, message.to_owned(), 0, 0, 0)
        }
    };
    admin::SizeRefusal { reason: reason.into(), message, have: have as u64, need: need as u64, epoch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_and_nonsense_is_not() {
        let names = |n: usize| (0..n).map(|i| format!("rauthy-{i}.rauthy:8000")).collect::<Vec<_>>();
        let request = SetSizeRequest { epoch: 7, now: names(3), next: names(5) };
        let read = change(request.clone()).unwrap();
        assert_eq!((read.epoch, read.now.len(), read.next.map(|n| n.len())), (7, 3, Some(5)));
        let back = change(SetSizeRequest { next: Vec::new(), ..request.clone() }).unwrap();
        assert_eq!(back.next, None, "taken back");
        for wrong in [
            SetSizeRequest { next: names(33), ..request.clone() },
            SetSizeRequest { now: vec![String::new()], ..request.clone() },
            SetSizeRequest { now: vec!["x".repeat(263)], ..request.clone() },
            SetSizeRequest { epoch: u64::MAX, ..request },
        ] {
            assert_eq!(change(wrong), None);
        }
    }

    #[test]
    fn every_refusal_says_what_it_is_and_what_to_do() {
        let table = [
            (SizeRefusal::NotLeader, Reason::NotLeader, "ask the one that does"),
            (SizeRefusal::Unconfirmed { confirmed: 1, needed: 2 }, Reason::Unconfirmed, "1 members confirm"),
            (SizeRefusal::NotCaughtUp { caught_up: 3, needed: 4 }, Reason::NotCaughtUp, "3 of the new"),
            (SizeRefusal::OtherConfiguration { epoch: 5 }, Reason::OtherConfiguration, "number 5"),
            (SizeRefusal::Malformed, Reason::Malformed, "twice"),
        ];
        for (refusal, reason, words) in table {
            let told = refused(refusal);
            assert_eq!(told.reason(), reason);
            assert!(told.message.contains(words), "{}", told.message);
        }
        assert_eq!(refused(SizeRefusal::Unconfirmed { confirmed: 1, needed: 2 }).need, 2);
    }
}
