//! Exit codes and the one sentence that goes with them.

use eddyline::metainfo::{MagnetError, MetainfoError};
use eddyline::{DiskError, TorrentError};

/// Something nobody foresaw.
pub const UNEXPECTED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// A source was not found.
pub const NOT_FOUND: u8 = 3;
/// A network problem.
pub const NETWORK: u8 = 6;
/// Not finished.
pub const UNFINISHED: u8 = 7;
/// No space left.
pub const NO_SPACE: u8 = 9;
/// Something that is not part of the torrent is in the way.
pub const WOULD_OVERWRITE: u8 = 13;
/// Disk input or output failed.
pub const DISK: u8 = 17;
/// Not valid bencode.
pub const NOT_BENCODE: u8 = 25;
/// Bencode, but not a valid torrent.
pub const NOT_TORRENT: u8 = 26;
/// Bad magnet URI or info-hash.
pub const BAD_MAGNET: u8 = 27;
/// Not a trace; the code is that of a file that is not a torrent.
pub const NOT_TRACE: u8 = 26;
/// A replay did something else than was recorded.
pub const DIVERGED: u8 = 33;
/// A question was answered by Ctrl-C, as if that signal had come.
pub const INTERRUPTED: u8 = 130;
/// Bad or missing data.
pub const BAD_DATA: u8 = 32;
/// Nobody reads the output any more: as SIGPIPE would end the program.
pub const CLOSED: u8 = 141;

/// Why the program ends without success.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// One sentence: the cause, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A file that could not be read or written.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => NOT_FOUND,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => NO_SPACE,
            _ => DISK,
        };
        Self::new(code, format!("{}: {}", path.display(), io_text(error)))
    }

    /// No port to listen on.
    pub fn listen(error: &std::io::Error) -> Self {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address; see --bind",
            std::io::ErrorKind::AddrInUse => {
                "another program has the port; choose another one with --port"
            }
            std::io::ErrorKind::PermissionDenied => {
                "the system does not let you have this port; choose one above 1023 with --port"
            }
            _ => return Self::new(NETWORK, format!("cannot listen: {}", io_text(error))),
        };
        Self::new(NETWORK, format!("cannot listen: {advice}"))
    }

    /// A file that is not a valid torrent.
    pub fn torrent(name: &str, error: &MetainfoError) -> Self {
        let code =
            if matches!(error, MetainfoError::Bencode(_)) { NOT_BENCODE } else { NOT_TORRENT };
        Self::new(code, format!("{name} is not a valid torrent: {error}"))
    }

    /// An invalid magnet URI or info-hash.
    pub fn magnet(error: MagnetError) -> Self {
        Self::new(BAD_MAGNET, error.to_string())
    }

    /// A torrent that stands still, because of a file at `path` where the error is about one. What helps is
    /// something else in a session.
    pub fn of_torrent(name: &str, error: TorrentError, path: &str, in_session: bool) -> Self {
        let advice = match in_session {
            true => "move it away, or choose another folder with `session move`",
            false => {
                "move it away, choose another folder with --dir, or write over it with --allow-overwrite"
            }
        };
        match error {
            TorrentError::Foreign(_) => Self::new(
                WOULD_OVERWRITE,
                format!("{path} is there already and has nothing of the torrent in it; {advice}"),
            ),
            TorrentError::TooLong(_) => Self::new(
                WOULD_OVERWRITE,
                format!(
                    "{path} is longer than the torrent says, and not all of the torrent is in it; {advice}"
                ),
            ),
            TorrentError::Disk(error) => Self::disk(name, error),
            TorrentError::Metadata => Self::new(
                NOT_TORRENT,
                format!("{name}: the magnet leads to something that is not a valid torrent"),
            ),
            other => Self::new(UNEXPECTED, format!("{name}: {other}")),
        }
    }

    /// A file that is longer than its torrent says, where it has `length` bytes, and has all of them or not. What helps
    /// is something else in a session.
    pub fn too_long(path: &str, length: u64, is_whole: bool, in_session: bool) -> Self {
        let what_helps = match (length, is_whole, in_session) {
            // Nothing shows that what is in it is the torrent's.
            (0, _, false) => {
                "it is empty there; `download --allow-overwrite` empties it, or move it away"
            }
            (0, _, true) => "it is empty there; move it away",
            (_, true, false) => "`download` cuts it off",
            (_, true, true) => "`session run` cuts it off",
            (_, false, true) => "some of it is bad, too; move it away",
            (_, false, false) => {
                "some of it is bad, too; `download --allow-overwrite` writes over it, or move it away"
            }
        };
        Self::new(BAD_DATA, format!("{path} is longer than the torrent says; {what_helps}"))
    }

    /// The system refuses something that a run cannot do without.
    pub fn system(what: &str, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => NO_SPACE,
            _ if error.raw_os_error().is_some() => DISK,
            _ => UNEXPECTED,
        };
        Self::new(code, format!("{what}: {}", io_text(error)))
    }

    /// A torrent that the disk refuses.
    pub fn disk(name: &str, error: DiskError) -> Self {
        Self::refused_by_disk(&format!("{name}: {error}"), error, "check the disk and start again")
    }

    /// The same, with what the system said where that is known.
    pub fn of_disk(name: &str, told: Option<String>, error: DiskError) -> Self {
        match told {
            Some(told) => Self::refused_by_disk(&told, error, "mend that and start again"),
            None => Self::disk(name, error),
        }
    }

    fn refused_by_disk(text: &str, error: DiskError, otherwise: &str) -> Self {
        let (code, advice) = match error {
            DiskError::NoSpace => (NO_SPACE, "make room and start again"),
            DiskError::Taken => (WOULD_OVERWRITE, "choose another folder"),
            DiskError::InTheWay => (WOULD_OVERWRITE, "move it away, or choose another folder"),
            DiskError::LocationGone => (DISK, "bring it back and start again"),
            DiskError::Permission => {
                (DISK, "check the permissions of the folder, or choose another one")
            }
            _ => (DISK, otherwise),
        };
        Self::new(code, format!("{text}; {advice}"))
    }
}

/// What the system refused, by its name, in small letters.
pub use eddyline_disk::words as io_text;

#[cfg(test)]
mod tests {
    //! Unit tests of advice.

    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn advice_fits_what_is_wrong_with_the_address() {
        let text = |kind: ErrorKind| Failure::listen(&kind.into()).message;
        assert!(!text(ErrorKind::AddrNotAvailable).contains("--port"));
        assert!(text(ErrorKind::AddrInUse).contains("--port"));
        assert!(text(ErrorKind::PermissionDenied).contains("1023"));
    }
}
