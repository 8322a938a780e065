//! The body of a reply: as much of it as came, and decoded.

use std::io::{ErrorKind, Read};

use brotli_decompressor::Decompressor;
use eddyline::HttpFailure;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use hyper::Response;
use hyper::header::CONTENT_ENCODING;

use super::allowance::Body;

/// How what `gzip` made begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Parts of a compressed body that are read; each costs something, however little is in it.
const MAX_MEMBERS: usize = 64;
/// How a stream of `br` begins that asks for more than the 16 MiB of memory that are allowed (RFC 7932, 9.1).
const LARGE_WINDOW: u8 = 0x11;

/// A body.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// All that was promised has come. Trackers promise too much and hang up; whether what came
    /// makes sense is for whoever reads it to say.
    pub(super) whole: bool,
}

/// Reads a body of at most `most` bytes, on the wire and decoded.
pub(super) async fn read(response: Response<Body>, most: u32) -> Result<Received, HttpFailure> {
    let encoding = response.headers().get(CONTENT_ENCODING);
    let encoding = encoding.and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let encoding = encoding.to_ascii_lowercase();
    let raw = receive(response.into_body(), most).await?;
    match encoding.as_str() {
        // Some say that they compress and do not.
        "gzip" | "x-gzip" if raw.bytes.starts_with(&GZIP) => unzip(&raw, most),
        "deflate" if is_zlib(&raw.bytes) => {
            decode(ZlibDecoder::new(&raw.bytes[..]), &raw, most).unwrap_or(Ok(raw))
        }
        // Some leave out what is around it.
        "deflate" => decode(DeflateDecoder::new(&raw.bytes[..]), &raw, most).unwrap_or(Ok(raw)),
        "br" if raw.bytes.first().is_some_and(|first| first & 0x7f != LARGE_WINDOW) => {
            decode(Decompressor::new(&raw.bytes[..], 4096), &raw, most).unwrap_or(Ok(raw))
        }
        _ => Ok(raw),
    }
}

/// Takes what comes.
async fn receive(mut body: Body, most: u32) -> Result<Received, HttpFailure> {
    let mut raw = Received { bytes: Vec::new(), whole: true };
    while let Some(part) = body.next().await {
        match part {
            Ok(bytes) => raw.bytes.extend(bytes),
            Err(error) if ended_early(&error) && !raw.bytes.is_empty() => {
                raw.whole = false;
                break;
            }
            Err(_) => return Err(HttpFailure::BadReply),
        }
        if raw.bytes.len() > most as usize {
            return Err(HttpFailure::BadReply);
        }
    }
    Ok(raw)
}

/// What the system said, where that is the reason.
pub(super) fn system_error(error: &hyper::Error) -> Option<&std::io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Whether the server hung up before everything had come.
fn ended_early(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || system_error(error).is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof)
}

/// Whether something begins as zlib does (RFC 1950).
fn is_zlib(bytes: &[u8]) -> bool {
    let [method, flags, ..] = bytes else { return false };
    method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
}

fn unzip(raw: &Received, most: u32) -> Result<Received, HttpFailure> {
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

/// What is in a body that nothing tells from a plain one; `None` where it is one, whatever was said of it.
fn decode(from: impl Read, raw: &Received, most: u32) -> Option<Result<Received, HttpFailure>> {
    let mut body = Received { bytes: Vec::new(), whole: raw.whole };
    match body.take_all(from, most) {
        Err(_) if body.bytes.len() <= most as usize => None,
        result => Some(result.map(|()| body)),
    }
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
            Err(_) => Err(HttpFailure::BadReply),
        }
    }
}
