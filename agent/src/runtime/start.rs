//! Putting the parts together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rauthy_core::Node;
use rauthy_proto::cache::Role;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::handle::{Ends, Handle};
use super::metrics::Metrics;
use super::status::View;
use super::task::{Inputs, Task};
use super::{clock, reload, reports};
use crate::config::{Config, hosts};
use crate::mesh::{Asked, Board, Incoming, Me, Mesh, Parts, addresses, listen};
use crate::tls::{Tls, TlsError};

/// Messages of peers that wait for the core; beyond, their streams wait.
const INCOMING: usize = 1024;
/// Writes and reads that wait for the core; beyond, their callers wait.
const CALLS: usize = 4096;
const COMMANDS: usize = 64;
/// An operator that asks for a transfer of the leadership has its answer within this; it asks again.
const TRANSFER: Duration = Duration::from_secs(1);

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The port of this member cannot be listened on.
    #[error("cannot listen for other members on port {port}, that of this member in HA_HOSTS: {why}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        why: std::io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The operating system gives no randomness.
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
}

impl StartError {
    /// Whether a setting is wrong, so that the next try would end the same way.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// The tasks of a started agent.
pub struct Running {
    mesh: Option<Mesh>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    /// What the mesh runs on ends with them.
    _engines: Vec<Engine>,
}

impl Running {
    /// Waits until the consensus task ends, which it does only on [`Self::shutdown`] or by a fault in it.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Ends the consensus task, then all streams to peers; the port is free afterwards.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // One that has ended must not be waited for twice, see `ended`.
        if !self.task.is_finished() {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.task).await;
        }
        if let Some(mesh) = self.mesh {
            mesh.stop();
            let _ = tokio::time::timeout(Duration::from_secs(1), mesh.stopped()).await;
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(bytes)
}

/// Starts the mesh and the consensus task.
///
/// # Errors
/// If certificates cannot be read, or the port is taken.
pub async fn start(config: Config) -> Result<(Handle, Running), StartError> {
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    let (board, metrics, stop) =
        (Arc::<Board>::default(), Arc::<Metrics>::default(), CancellationToken::new());
    let (incoming_tx, incoming) = mpsc::channel::<Incoming>(INCOMING);
    let (asked_tx, asked) = mpsc::channel::<Asked>(COMMANDS);
    let (calls_tx, calls) = mpsc::channel(CALLS);
    let (commands_tx, commands) = mpsc::channel(COMMANDS);

    let mut seed = [0_u64; 4];
    for part in &mut seed {
        *part = u64::from_le_bytes(random()?);
    }
    let engine = Engine::consensus().map_err(StartError::Thread)?;
    let mut engines = vec![engine.clone()];
    let mut myself = None;
    let mesh = match config.token {
        Some(tokens) if config.cluster => {
            let port = hosts::port(&config.slot);
            let strangers = Engine::strangers().map_err(StartError::Thread)?;
            let listeners = strangers.within(|| listen::bind(port));
            let listeners = listeners.map_err(|why| StartError::Listen { port, why })?;
            let slots = config.hosts.slots();
            let me = Me::new(config.cluster_name.clone(), config.slot.clone(), random()?, slots, tokens);
            let me = Arc::new(me);
            myself = Some(me.clone());
            if let Some(path) = config.token_file {
                tokio::spawn(reload::token(path, me.clone(), metrics.clone(), stop.clone()));
            }
            let parts = Parts {
                me,
                tls: tls.clone(),
                reconnect: config.reconnect,
                board: board.clone(),
                metrics: metrics.clone(),
                lookup: addresses::system(),
                incoming: incoming_tx.clone(),
                asked: asked_tx,
                strangers: strangers.handle(),
            };
            engines.push(strangers);
            Some(engine.within(|| Mesh::start(parts, listeners)))
        }
        _ => None,
    };
    if let Some(tls) = tls.clone() {
        tokio::spawn(reload::certificates(tls, metrics.clone(), stop.clone()));
    }

    // A hand-over takes milliseconds. Longer, and a member that lost its quorum would be late to say so.
    let patience = Duration::from_micros(config.settings.lease.0 * 2 / 5);
    let writer_idle = Duration::from_micros(config.settings.session_idle.0 / 2);
    let limit = config.settings.store_bytes as u64;
    let node = Node::new(config.settings, config.hosts.clone(), seed, clock::now());
    let view = View {
        cluster: config.cluster_name,
        slot: config.slot,
        started: Instant::now(),
        board: board.clone(),
        tls,
        me: myself,
    };
    metrics.look_at(node.replica(), limit);
    let applied = Arc::new(Notify::new());
    let handle = Handle::new(Ends {
        calls: calls_tx,
        commands: commands_tx,
        replica: node.replica(),
        applied: applied.clone(),
        metrics: metrics.clone(),
        view,
        patience,
        writer_idle,
    });
    if let Some(mesh) = mesh.clone() {
        let compare = reports::exchange(mesh, board.clone(), handle.clone(), stop.clone());
        tokio::spawn(compare);
    }
    tokio::spawn(answer_operator(asked, handle.clone(), stop.clone()));
    if let Some(path) = config.hosts_file {
        tokio::spawn(reload::host_list(
            path,
            config.hosts.clone(),
            handle.clone(),
            metrics.clone(),
            stop.clone(),
        ));
    }
    let task = Task::new(node, config.hosts, mesh.clone(), metrics, applied.clone());
    let inputs = Inputs { incoming, calls, commands };
    let stopped = stop.clone();
    let task = engine.spawn(async move {
        task.run(inputs, stopped).await;
        applied.notify_waiters(); // watchers see that nothing comes any more
        // Held until here: a single node has no mesh that would keep the channel open.
        drop(incoming_tx);
    });
    Ok((handle, Running { mesh, task, stop, _engines: engines }))
}

async fn answer_operator(mut asked: mpsc::Receiver<Asked>, handle: Handle, stop: CancellationToken) {
    let answer = async {
        while let Some(question) = asked.recv().await {
            match question {
                Asked::Status(reply) => {
                    let _ = reply.send(handle.status().await);
                }
                Asked::SetSize(change, reply) => {
                    let _ = reply.send(handle.set_size(change).await);
                }
                Asked::TransferLeadership(reply) => {
                    let handle = handle.clone();
                    // Other questions do not wait for it.
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(TRANSFER, handle.hand_over()).await;
                        let _ = reply.send(handle.status().await.role() == Role::Leader);
                    });
                }
            }
        }
    };
    stop.run_until_cancelled(answer).await;
}
