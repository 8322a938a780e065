//! What the fuzzers run of the driver: what a web server may send to somebody who asked it for peers or for a
//! torrent. No part of the interface.

use std::sync::Mutex;

use eddyline::HttpGet;
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::dns::Names;
use crate::http::fetch_through;

/// The name of a target, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the driver.
pub const TARGETS: &[Target] = &[("http_replies", http_replies)];

/// Longest body that is asked for.
const MAX_BODY: u32 = 50_000;

/// A connection on which a reply waits, whatever is asked.
#[derive(Debug)]
struct Canned {
    reply: Vec<u8>,
    at: usize,
    buffers: LazyBuffers,
}

impl Transport for Canned {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let room = self.buffers.input_append_buf();
        let rest = &self.reply[self.at..];
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        self.buffers.input_appended(count);
        self.at += count;
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.at < self.reply.len()
    }
}

/// Makes such connections; one has the reply, further ones have nothing.
#[derive(Debug)]
struct Server(Mutex<Vec<u8>>);

impl Connector for Server {
    type Out = Canned;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Canned>, Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let mut reply = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Some(Canned { reply: std::mem::take(&mut reply), at: 0, buffers }))
    }
}

/// No reply brings the client down, takes more than was asked for, or leads to what is no URL.
pub fn http_replies(data: &[u8]) {
    let url = "http://20.1.1.1/announce?x=1".to_owned();
    let get = HttpGet {
        url,
        ipv6: None,
        only: None,
        max_body: MAX_BODY,
        timeout: std::time::Duration::from_secs(20),
    };
    if let Ok(reply) =
        fetch_through(&get, "fuzz", &Names::default(), Server(Mutex::new(data.to_vec())))
    {
        assert!(reply.body.len() <= MAX_BODY as usize);
        assert!((100..1000).contains(&reply.status), "{}", reply.status);
        assert!(reply.location.is_none_or(|location| location.contains(':')));
    }
}
