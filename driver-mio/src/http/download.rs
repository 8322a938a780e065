//! A file from a web server as it comes, for who reads it once and keeps nothing of it. The reader waits, and the
//! server with it: no more than a few parts of the body are held.

use std::time::Duration;

use bytes::Bytes;
use eddyline::{HttpFailure, HttpHead, RangeGet};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ranges::{Answer, head_of, is_encoded};
use super::{Client, FOR_A_RANGE};
use crate::dns::Names;

/// Parts of a body that are held.
const HELD: usize = 16;
/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of a request.
#[derive(Debug)]
pub enum Part {
    /// The head of the reply, before everything else.
    Head(HttpHead),
    /// Bytes of the body.
    Bytes(Bytes),
    /// Nothing yet.
    Nothing,
    /// All of the body has come.
    End,
    /// No more will come.
    Failed(HttpFailure),
}

/// A request in progress. It ends with this.
#[derive(Debug)]
pub struct Download {
    parts: Receiver<Part>,
    thread: Handle,
    task: AbortHandle,
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Download {
    /// Makes a request.
    ///
    /// # Errors
    /// Where there is no thread for it.
    pub fn begin(get: RangeGet, user_agent: &str, names: &Names) -> std::io::Result<Self> {
        let thread = names.thread().handle()?;
        let user_agent = names.policy().user_agent(user_agent);
        let (client, names) = (Client::new(user_agent, FOR_A_RANGE), names.clone());
        let (tell, parts) = channel(HELD);
        let task = thread.spawn(async move {
            let last = match perform(&get, &client, &names, &tell).await {
                Ok(()) => Part::End,
                Err(why) => Part::Failed(why),
            };
            let _ = tell.send(last).await;
        });
        Ok(Self { parts, thread, task: task.abort_handle() })
    }

    /// What comes next, which is waited for that long.
    pub fn next(&mut self, patience: Duration) -> Part {
        let parts = &mut self.parts;
        match self.thread.block_on(async { timeout(patience, parts.recv()).await }) {
            Ok(part) => part.unwrap_or(Part::Failed(HttpFailure::Closed)),
            Err(_) => Part::Nothing,
        }
    }
}

async fn perform(
    get: &RangeGet,
    client: &Client,
    names: &Names,
    tell: &Sender<Part>,
) -> Result<(), HttpFailure> {
    let gone = |_| HttpFailure::Closed;
    let late = |_| HttpFailure::TimedOut;
    let answer = timeout(PATIENCE, client.ask_range(get, names.resolver())).await;
    let Answer { link, response, place, .. } = answer.map_err(late)??;
    if response.status().is_success() && is_encoded(response.headers()) {
        return Err(HttpFailure::BadReply);
    }
    tell.send(Part::Head(head_of(&response, get, &link))).await.map_err(gone)?;
    let mut body = response.into_body();
    while let Some(part) = timeout(PATIENCE, body.joined()).await.map_err(late)? {
        let bytes = part.map_err(|_| HttpFailure::Closed)?;
        tell.send(Part::Bytes(bytes)).await.map_err(gone)?;
    }
    drop((place, link));
    Ok(())
}
