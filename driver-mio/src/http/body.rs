//! The body of a reply: as much of it as came, and decoded.

use std::io::{ErrorKind, Read};

use eddyline::HttpFailure;
use flate2::bufread::GzDecoder;
use ureq::Body;
use ureq::http::Response;
use ureq::http::header::CONTENT_ENCODING;

/// How the one encoding that we ask for begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Parts of a compressed body that are read; each costs something, however little is in it.
const MAX_MEMBERS: usize = 64;

/// A body.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// All that was promised has come. Trackers promise too much and hang up; whether what came
    /// makes sense is for whoever reads it to say.
    pub(super) whole: bool,
}

/// Reads a body of at most `most` bytes, on the wire and decoded.
pub(super) fn read(response: &mut Response<Body>, most: u32) -> Result<Received, HttpFailure> {
    let encoding = response.headers().get(CONTENT_ENCODING);
    let encoding = encoding.and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let zipped = ["gzip", "x-gzip"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
    let mut raw = Received { bytes: Vec::new(), whole: true };
    raw.take_all(response.body_mut().as_reader(), most)?;
    // Some say that they compress and do not.
    if !zipped || !raw.bytes.starts_with(&GZIP) {
        return Ok(raw);
    }
    let mut body = Received { bytes: Vec::new(), whole: raw.whole };
    let mut rest = &raw.bytes[..];
    for _ in 0..MAX_MEMBERS {
        if !rest.starts_with(&GZIP) {
            break;
        }
        let mut member = GzDecoder::new(rest);
        body.take_all(&mut member, most)?;
        rest = member.into_inner();
    }
    Ok(body)
}

/// Whether a body ended because its time was over, whoever says so.
fn is_time_out(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

impl Received {
    fn take_all(&mut self, from: impl Read, most: u32) -> Result<(), HttpFailure> {
        let limit = u64::from(most) + 1;
        let room = limit.saturating_sub(self.bytes.len() as u64);
        match from.take(room).read_to_end(&mut self.bytes) {
            _ if self.bytes.len() as u64 >= limit => Err(HttpFailure::BadReply),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && !self.bytes.is_empty() => {
                self.whole = false;
                Ok(())
            }
            Err(error) if is_time_out(&error) => Err(HttpFailure::TimedOut),
            Err(_) => Err(HttpFailure::BadReply),
        }
    }
}
