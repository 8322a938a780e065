//! What the system refused, in words, and of which file.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::filesystem::{FileSystem, Found};
use super::naming::CannotHold;

/// An error of the system about one file.
#[derive(Debug)]
struct AtPath {
    path: String,
    why: io::Error,
}

impl std::fmt::Display for AtPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, words(&self.why))
    }
}

impl std::error::Error for AtPath {}

/// What stands where a torrent has something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InTheWay {
    /// Where it has a folder.
    File,
    /// Where it has a file.
    Folder,
    Other,
}

impl std::fmt::Display for InTheWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "it is a file, and the torrent has a folder there",
            Self::Folder => "it is a folder, and the torrent has a file there",
            Self::Other => "it is neither a file nor a folder",
        })
    }
}

impl std::error::Error for InTheWay {}

/// That this stands where a torrent has something else.
pub(super) fn in_the_way(found: Found) -> io::Error {
    io::Error::other(match found {
        Found { is_file: true, .. } => InTheWay::File,
        Found { is_folder: true, .. } => InTheWay::Folder,
        _ => InTheWay::Other,
    })
}

/// Whether an error is that something else stands there.
pub(super) fn is_in_the_way(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<InTheWay>())
}

/// Notes which file an error of the system is about. Other errors of our own stay as they are.
pub(super) fn of_file(path: &[String], error: io::Error) -> io::Error {
    match error.raw_os_error() {
        None if !is_in_the_way(&error) => error,
        _ => io::Error::new(error.kind(), AtPath { path: path.join("/"), why: error }),
    }
}

/// The same of a file in another place than the torrent's, which is named with it.
pub(super) fn of_file_at(fs: &dyn FileSystem, path: &[String], error: io::Error) -> io::Error {
    match fs.root() {
        Some(root) => of_file(&[&[root.display().to_string()], path].concat(), error),
        None => of_file(path, error),
    }
}

/// Notes on which part of the way to a file the system refuses something: at a folder that may not be
/// entered, at something that is no folder, or at the file. The place as a whole is left to whoever knows what
/// it is called.
pub(super) fn on_the_way(fs: &dyn FileSystem, path: &[String], error: io::Error) -> io::Error {
    let refused = |depth: &usize| fs.find(&path[..*depth]).is_err();
    let depth = (1..=path.len()).find(refused).unwrap_or(path.len());
    let before =
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory);
    let place = &path[..if before { depth - 1 } else { depth }];
    if place.is_empty() {
        return error;
    }
    match fs.find(place) {
        Ok(Some(found)) if error.kind() == io::ErrorKind::NotADirectory => {
            of_file(place, in_the_way(found))
        }
        _ => of_file(place, error),
    }
}

/// The error itself, without the file that it is about.
pub(super) fn cause(error: &io::Error) -> &io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<AtPath>());
    inner.map_or(error, |inner| &inner.why)
}

/// What the system refused of a torrent, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A file, by its path inside the torrent's folder, and why.
    File(String, String),
    /// The folder as a whole, and why.
    Folder(String),
    /// A sentence that has its path.
    Sentence(String),
}

impl Refusal {
    /// A sentence about a torrent whose files are in `folder`; where that is not known, about the torrent
    /// `name`.
    #[must_use]
    pub fn told(&self, folder: Option<&Path>, name: &str) -> String {
        match (self, folder) {
            (Self::File(path, why), None) => format!("{path}: {why}"),
            (Self::File(path, why), Some(folder)) => format!("{}: {why}", in_folder(folder, path)),
            (Self::Folder(why), None) => format!("{name}: {why}"),
            (Self::Folder(why), Some(folder)) => {
                let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
                format!("{}: {why}", folder.display())
            }
            (Self::Sentence(text), _) => text.clone(),
        }
    }
}

/// The path of a file in a folder, as a user finds it.
#[must_use]
pub fn in_folder(folder: &Path, path: &str) -> String {
    match folder {
        here if here == Path::new(".") => path.to_owned(),
        folder => folder.join(path).display().to_string(),
    }
}

/// The file, where it is known, and what the system says of it; nothing for errors of our own.
#[must_use]
pub fn describe(error: &io::Error) -> Option<Refusal> {
    if error.get_ref().is_some_and(|inner| inner.is::<CannotHold>()) {
        return Some(Refusal::Sentence(error.to_string()));
    }
    let file = error.get_ref().and_then(|inner| inner.downcast_ref::<AtPath>());
    let why = cause(error);
    let is_own = (why.raw_os_error().is_none() && !is_in_the_way(why))
        || (std::ptr::eq(why, error) && Errno::from_io_error(why) == Some(Errno::LOOP));
    (!is_own).then(|| match file {
        Some(file) => Refusal::File(file.path.clone(), words(why)),
        None => Refusal::Folder(words(why)),
    })
}

/// What the system refused, by its name, in small letters.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let error = cause(error);
    let known = match Errno::from_io_error(error) {
        Some(Errno::FBIG) => "the file is too large for this file system",
        Some(Errno::DQUOT) => "the disk quota is used up",
        Some(Errno::ROFS) => "the file system is read-only",
        Some(Errno::MFILE) => "too many open files; the limit is that of `ulimit -n`",
        Some(Errno::NFILE) => "too many open files in the whole system",
        Some(Errno::NAMETOOLONG) => "the name is too long for this file system",
        Some(Errno::NOTDIR) => "part of the path is not a folder",
        Some(Errno::ISDIR) => "it is a folder",
        Some(Errno::LOOP) => "too many symbolic links, or one that must not be followed",
        Some(Errno::IO) => "input/output error: the disk may be damaged",
        Some(Errno::STALE) => "the network file system has lost it (stale file handle)",
        _ => match error.kind() {
            // Of errors that are wrapped in others.
            io::ErrorKind::NotADirectory => "part of the path is not a folder",
            io::ErrorKind::IsADirectory => "it is a folder",
            _ => "",
        },
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let text = error.to_string();
    // The system's words without Rust's number behind them.
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        // An abbreviation stays what it is.
        if letters.as_str().starts_with(char::is_uppercase) {
            return text.to_owned();
        }
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    //! Unit tests of the words for what the system refuses.

    use super::super::disk_error;
    use super::*;
    use eddyline::DiskError;

    #[test]
    fn each_refusal_has_its_name_and_the_path_once_and_means_the_same_with_it() {
        let path = ["a".to_owned(), "b".to_owned()];
        for (errno, name, meaning) in [
            (Errno::FBIG, "too large for this file system", DiskError::Io),
            (Errno::MFILE, "too many open files", DiskError::Io),
            (Errno::ROFS, "read-only", DiskError::Permission),
            (Errno::DQUOT, "quota", DiskError::NoSpace),
            (Errno::NOSPC, "no space left on device", DiskError::NoSpace),
            (Errno::NAMETOOLONG, "name is too long", DiskError::Io),
            (Errno::NOTDIR, "not a folder", DiskError::InTheWay),
            (Errno::ACCESS, "permission denied", DiskError::Permission),
        ] {
            let error = of_file(&path, errno.into());
            let text = describe(&error).unwrap().told(None, "x");
            assert!(text.starts_with("a/b: ") && text.contains(name), "{text}");
            assert!(!text.contains("os error") && text.matches("a/b").count() == 1, "{text}");
            assert_eq!(disk_error(&error), meaning, "{text}");
        }
        let own = of_file(&path, io::ErrorKind::UnexpectedEof.into());
        assert_eq!((describe(&own), disk_error(&own)), (None, DiskError::Missing));
        assert_eq!(words(&io::Error::other("TLS of /A/B")), "TLS of /A/B");
    }

    #[test]
    fn the_path_of_an_error_is_where_the_way_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), "a file").unwrap();
        let fs = super::super::Scoped::open(folder.path()).unwrap();
        let path = ["t", "sub", "f"].map(str::to_owned);
        for (errno, place) in [(Errno::NOTDIR, "t: it is a file"), (Errno::ACCESS, "t: permission")]
        {
            let error = on_the_way(&fs, &path, errno.into());
            let text = describe(&error).unwrap().told(None, "x");
            assert!(text.starts_with(place), "{text}");
        }
        let at = of_file_at(&fs, &path, Errno::NOSPC.into());
        let text = describe(&at).unwrap().told(Some(Path::new("elsewhere")), "x");
        assert!(text.starts_with(&format!("{}/t/sub/f: no", folder.path().display())), "{text}");
    }
}
