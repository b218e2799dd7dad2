//! The loop of a loading program: commands from stdin, answers to stdout. When stdin ends, so does it: whoever drives it
//! is gone.

use std::io::{BufRead, Write};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::protocol::{Answer, Command};
use crate::{KEYS, Target, What, closed, paced, reads};

/// Keys that are written at the same time while all are written once.
const FILLERS: usize = 64;

/// Says that the target is ready, and serves commands until stdin ends.
///
/// # Errors
/// If stdout is closed.
pub async fn serve<T: Target>(target: T) -> std::io::Result<()> {
    say(&Answer::Ready)?;
    let (line, mut lines) = mpsc::channel(1);
    // A thread of its own: it stands in `read` when the runtime ends, and must not be waited for.
    std::thread::spawn(move || {
        for read in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line.blocking_send(read).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let answer = match serde_json::from_str(&line) {
            Ok(command) => carry_out(&target, command).await,
            Err(why) => Err(format!("{line:?} is no command: {why}")),
        };
        say(&answer.unwrap_or_else(|why| Answer::Failed { why }))?;
    }
    Ok(())
}

fn say(answer: &Answer) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    out.write_all(b"\n")?;
    out.flush()
}

async fn carry_out<T: Target>(target: &T, command: Command) -> Result<Answer, String> {
    Ok(match command {
        Command::Role => Answer::Role { leads: target.leads().await },
        Command::Fill => {
            fill(target).await?;
            Answer::Filled
        }
        Command::Load(load) if load.rate > 0 => Answer::Measured(paced::run(target, load).await?),
        Command::Load(load) => Answer::Measured(closed::run(target, load).await?),
        Command::Read(load) => Answer::Measured(reads::run(target, load).await?),
    })
}

async fn fill<T: Target>(target: &T) -> Result<(), String> {
    let room = Arc::new(Semaphore::new(FILLERS));
    let mut writes = tokio::task::JoinSet::new();
    for key in 0..KEYS {
        let place = room.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let target = target.clone();
        writes.spawn(async move {
            let outcome = target.call(What::Put, key).await;
            drop(place);
            outcome
        });
        while let Some(done) = writes.try_join_next() {
            done.map_err(|e| e.to_string())??;
        }
    }
    while let Some(done) = writes.join_next().await {
        done.map_err(|e| e.to_string())??;
    }
    Ok(())
}
