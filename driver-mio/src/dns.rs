//! Name look-ups by the system's resolver, on threads of their own.

use std::net::{IpAddr, ToSocketAddrs};

use crossbeam_channel::{Receiver, Sender, unbounded};
use eddyline::base::ids::LookupId;
use eddyline::{Event, LookupError};

use crate::mailbox::Mailbox;

const THREADS: usize = 2;

/// The resolver.
#[derive(Debug)]
pub struct Dns {
    jobs: Sender<(LookupId, String)>,
}

impl Dns {
    /// Starts the threads.
    #[must_use]
    pub fn start(mailbox: &Mailbox) -> Self {
        let (jobs, queue) = unbounded();
        for _ in 0..THREADS {
            let (queue, mailbox) = (queue.clone(), mailbox.clone());
            std::thread::spawn(move || work(&queue, &mailbox));
        }
        Self { jobs }
    }

    /// Looks a name up.
    pub fn resolve(&self, id: LookupId, name: String) {
        // The threads live as long as this sender.
        let _ = self.jobs.send((id, name));
    }
}

fn work(queue: &Receiver<(LookupId, String)>, mailbox: &Mailbox) {
    while let Ok((id, name)) = queue.recv() {
        let result = match (name.as_str(), 0).to_socket_addrs() {
            Ok(addrs) => {
                let mut ips: Vec<IpAddr> = addrs.map(|addr| addr.ip()).collect();
                ips.dedup();
                if ips.is_empty() { Err(LookupError::NotFound) } else { Ok(ips) }
            }
            Err(_) => Err(LookupError::NotFound),
        };
        mailbox.leave([Event::Resolved(id, result)]);
    }
}
