//! Resume data: what one run tells the next. It never claims more than was durable when it was
//! written, and everything in it is checked against the files before it is believed.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

pub use crate::api::ResumeData;
use crate::api::{FileStatus, LocationId, Renamed};
use crate::base::bits::Bits;
use crate::base::fault::Fault;
use crate::base::hash::Sha1Hash;
use crate::bencode::{Encoder, Limits, Mode, ScanError, Value, scan};
use crate::metainfo::{MAX_PATH_DEPTH, is_possible};

/// Version of the format that is written; later ones are not read.
const VERSION: u32 = 2;
/// Oldest version that is read.
const OLDEST: u32 = 1;

/// Why resume data is not used. It only ever costs a check of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Not the format.
    #[error("malformed resume data: {0}")]
    Malformed(ScanError),
    /// A version this program does not know.
    #[error("resume data of unknown version {0}")]
    Version(u32),
    /// Sizes inside do not agree, or the checksum does not.
    #[error("damaged resume data")]
    Inconsistent,
}

impl ResumeError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(_) | Self::Inconsistent => Fault::Machine,
            Self::Version(_) => Fault::Caller,
        }
    }
}

/// What stands in the file, of the right types.
struct Stored<'a> {
    version: u32,
    info_hash: &'a [u8],
    pieces: u32,
    have: &'a [u8],
    partial: Vec<StoredPartial<'a>>,
    lengths: Vec<i64>,
    modified: Vec<i64>,
    downloaded: i64,
    uploaded: i64,
    completed: bool,
    peers: Vec<&'a str>,
    clean: bool,
    location: u32,
    renamed: Vec<StoredName>,
    left_at: Vec<u32>,
    trackers: Vec<(String, Option<Vec<u8>>)>,
}

struct StoredName {
    file: u32,
    from: Vec<String>,
    to: Vec<String>,
}

struct StoredPartial<'a> {
    piece: u32,
    blocks: u32,
    written: &'a [u8],
}

fn number(value: Value<'_, '_>) -> Option<u32> {
    value.as_int()?.try_into().ok()
}

fn flag(value: Value<'_, '_>) -> Option<bool> {
    Some(u8::try_from(value.as_int()?).ok()? != 0)
}

fn text(value: Value<'_, '_>) -> Option<String> {
    value.as_str().map(String::from)
}

/// The items of a list, all of one type.
fn list<'a, 'd, T>(
    value: Value<'a, 'd>,
    item: impl Fn(Value<'a, 'd>) -> Option<T>,
) -> Option<Vec<T>> {
    value.is_list().then(|| value.items().map(item).collect())?
}

/// The same, where version 1 had nothing.
fn list_or_none<'a, 'd, T>(
    value: Option<Value<'a, 'd>>,
    item: impl Fn(Value<'a, 'd>) -> Option<T>,
) -> Option<Vec<T>> {
    value.map_or_else(|| Some(Vec::new()), |value| list(value, item))
}

impl<'a> Stored<'a> {
    fn of(root: Value<'a, '_>) -> Option<Self> {
        Some(Self {
            version: number(root.get(b"version")?)?,
            info_hash: root.get(b"info_hash")?.as_bytes()?,
            pieces: number(root.get(b"pieces")?)?,
            have: root.get(b"have")?.as_bytes()?,
            partial: list(root.get(b"partial")?, |entry| {
                Some(StoredPartial {
                    piece: number(entry.get(b"piece")?)?,
                    blocks: number(entry.get(b"blocks")?)?,
                    written: entry.get(b"written")?.as_bytes()?,
                })
            })?,
            lengths: list(root.get(b"lengths")?, |value| value.as_int())?,
            modified: list(root.get(b"modified")?, |value| value.as_int())?,
            downloaded: root.get(b"downloaded")?.as_int()?,
            uploaded: root.get(b"uploaded")?.as_int()?,
            completed: flag(root.get(b"completed")?)?,
            peers: list(root.get(b"peers")?, |value| value.as_str())?,
            // Version 1 knew no unclean end: every file that had changed was checked.
            clean: root.get(b"clean").map_or(Some(true), flag)?,
            location: root.get(b"location").map_or(Some(0), number)?,
            renamed: list_or_none(root.get(b"renamed"), |entry| {
                Some(StoredName {
                    file: number(entry.get(b"file")?)?,
                    from: list(entry.get(b"from")?, text)?,
                    to: list(entry.get(b"to")?, text)?,
                })
            })?,
            left_at: list_or_none(root.get(b"left_at"), number)?,
            trackers: list_or_none(root.get(b"trackers"), |entry| {
                let id = entry.get(b"id").map_or(Some(&[][..]), |id| id.as_bytes())?;
                Some((text(entry.get(b"url")?)?, (!id.is_empty()).then(|| id.to_vec())))
            })?,
        })
    }
}

impl ResumeData {
    /// The bytes to store: bencode, with a SHA-1 of it in front.
    pub fn encode(&self) -> Vec<u8> {
        // Written as a stream: this happens every few seconds of a fast download, and typed values
        // would take memory for each key. The keys are those that [`Stored::of`] reads, in the order of bencode.
        let mut out = Encoder::default();
        out.dict();
        out.bytes(b"clean").int(self.clean.into());
        out.bytes(b"completed").int(self.completed.into());
        out.bytes(b"downloaded").int(signed(self.downloaded));
        out.bytes(b"have").bytes(&self.have.as_wire());
        out.bytes(b"info_hash").bytes(&self.info_hash.0);
        integers(&mut out, b"left_at", self.left_at.iter().map(|location| location.0.into()));
        let lengths = self.files.iter().map(|file| file.length.map_or(-1, signed));
        integers(&mut out, b"lengths", lengths);
        out.bytes(b"location").int(self.location.0.into());
        integers(&mut out, b"modified", self.files.iter().map(|file| file.modified));
        out.bytes(b"partial").list();
        for (piece, blocks) in &self.partial {
            out.dict().bytes(b"blocks").int(blocks.len().into());
            out.bytes(b"piece").int((*piece).into());
            out.bytes(b"written").bytes(&blocks.as_wire()).end();
        }
        out.end();
        out.bytes(b"peers").list();
        let mut name = String::new();
        for peer in &self.peers {
            name.clear();
            // Text takes whatever is written to it.
            let _ = write!(name, "{peer}");
            out.bytes(name.as_bytes());
        }
        out.end();
        out.bytes(b"pieces").int(self.have.len().into());
        out.bytes(b"renamed").list();
        for (file, Renamed { from, to }) in &self.renamed {
            out.dict().bytes(b"file").int((*file).into());
            path(&mut out, b"from", from);
            path(&mut out, b"to", to);
            out.end();
        }
        out.end();
        out.bytes(b"trackers").list();
        for (url, id) in &self.trackers {
            out.dict().bytes(b"id").bytes(id.as_deref().unwrap_or_default());
            out.bytes(b"url").bytes(url.as_bytes()).end();
        }
        out.end();
        out.bytes(b"uploaded").int(signed(self.uploaded));
        out.bytes(b"version").int(VERSION.into());
        out.end();
        let body = out.finish();
        let mut out = Vec::with_capacity(20 + body.len());
        out.extend(Sha1Hash::of(&body).0);
        out.extend(body);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Anything that is not exactly that.
    pub fn decode(bytes: &[u8]) -> Result<Self, ResumeError> {
        let (sum, body) = bytes.split_at_checked(20).ok_or(ResumeError::Inconsistent)?;
        if Sha1Hash::of(body).0 != sum {
            return Err(ResumeError::Inconsistent);
        }
        let document =
            scan(body, Limits::METAINFO, Mode::Strict).map_err(ResumeError::Malformed)?;
        let unexpected = ResumeError::Malformed(ScanError::Unexpected { at: 0 });
        let stored = Stored::of(document.root()).ok_or(unexpected)?;
        if !(OLDEST..=VERSION).contains(&stored.version) {
            return Err(ResumeError::Version(stored.version));
        }
        Self::from_stored(stored).ok_or(ResumeError::Inconsistent)
    }

    fn from_stored(stored: Stored<'_>) -> Option<Self> {
        if stored.lengths.len() != stored.modified.len() {
            return None;
        }
        let mut partial = Vec::new();
        for entry in &stored.partial {
            if entry.piece >= stored.pieces {
                return None;
            }
            partial.push((entry.piece, Bits::from_wire(entry.written, entry.blocks)?));
        }
        let files = stored.lengths.iter().zip(&stored.modified);
        Some(Self {
            info_hash: Sha1Hash::from_slice(stored.info_hash)?,
            have: Bits::from_wire(stored.have, stored.pieces)?,
            partial,
            files: files
                .map(|(length, modified)| FileStatus {
                    length: u64::try_from(*length).ok(),
                    modified: *modified,
                })
                .collect(),
            downloaded: u64::try_from(stored.downloaded).ok()?,
            uploaded: u64::try_from(stored.uploaded).ok()?,
            completed: stored.completed,
            peers: stored.peers.iter().filter_map(|peer| peer.parse().ok()).collect(),
            clean: stored.clean,
            location: LocationId(stored.location),
            renamed: renamed(stored.renamed, stored.lengths.len())?,
            left_at: stored.left_at.into_iter().map(LocationId).collect(),
            trackers: stored.trackers,
        })
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn integers(out: &mut Encoder, key: &[u8], numbers: impl Iterator<Item = i64>) {
    out.bytes(key).list();
    for number in numbers {
        out.int(number);
    }
    out.end();
}

fn path(out: &mut Encoder, key: &[u8], parts: &[String]) {
    out.bytes(key).list();
    for part in parts {
        out.bytes(part.as_bytes());
    }
    out.end();
}

/// Names that no file of a torrent could have are damage.
fn renamed(stored: Vec<StoredName>, files: usize) -> Option<BTreeMap<u32, Renamed>> {
    let safe = |path: &Vec<String>| {
        !path.is_empty()
            && path.len() <= MAX_PATH_DEPTH + 1
            && path.iter().all(|part| is_possible(part))
    };
    let mut out = BTreeMap::new();
    for StoredName { file, from, to } in stored {
        if file as usize >= files || !safe(&from) || !safe(&to) {
            return None;
        }
        out.insert(file, Renamed { from, to });
    }
    Some(out)
}
