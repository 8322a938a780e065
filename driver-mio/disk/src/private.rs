//! Folders and files that are for their owner alone: state, resume data and traces name what somebody
//! downloads and hold passkeys.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// What the names of all that stands in a state folder begin with.
const OURS: &[&str] = &["claims", "lock", "resume", "torrents", "session.", "dht."];

/// How a system calls standard output.
const STDOUT: &str = "/dev/stdout";

/// Longest file of a state folder that is read: none of ours comes near it.
pub const MAX_STATE: u64 = 256 << 20;

/// Makes a folder, and those on the way to it, where they are missing.
///
/// # Errors
/// Whatever the system says.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Options with which a file that is made is for its owner alone.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.mode(FILE);
    options
}

/// The same for files of a state folder: opening never waits, as it would for the other end of a pipe
/// that somebody has put in the place of a file.
#[must_use]
pub fn state_options() -> OpenOptions {
    let mut options = options();
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    options
}

/// Reads a file of `most` bytes at the most. What is no file, as a pipe, is an error and is not waited for.
///
/// # Errors
/// Whatever the system says; `FileTooLarge` for a longer one.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = state_options().read(true).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Standard output as it is: opened once more, it would be written from its beginning, over what is there.
fn stdout() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Creates a file, or empties the one that is there and takes it away from others.
///
/// # Errors
/// Whatever the system says.
pub fn create(path: &Path) -> io::Result<File> {
    if path == Path::new(STDOUT) {
        return stdout();
    }
    let file = options().write(true).create(true).truncate(true).open(path)?;
    // Something else than a file, as /dev/stdout, is not ours to change.
    let about = file.metadata()?;
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(FILE))?;
    }
    Ok(file)
}

/// Creates a file that is not there yet. What is no file, as a pipe or /dev/stdout, is opened.
///
/// # Errors
/// Whatever the system says, as that the file is there.
pub fn create_new(path: &Path) -> io::Result<File> {
    match options().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let special = path.starts_with("/dev") || path.starts_with("/proc");
            if path == Path::new(STDOUT) {
                return stdout();
            }
            if special || fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
            {
                return File::options().append(true).open(path);
            }
            Err(error)
        }
        other => other,
    }
}

/// Writes a whole file as [`create`] makes it.
///
/// # Errors
/// Whatever the system says.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}

/// Takes a state folder away from others, with all that is in it: earlier versions left it as the
/// user's mask said. A folder in which something else stands too, as one that `--state-dir` may name,
/// is left as it is; what is ours in it is not. What cannot be changed stays.
pub fn correct(state: &Path) {
    let Ok(entries) = fs::read_dir(state) else { return };
    let mut only_ours = true;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| OURS.iter().any(|own| name.starts_with(own)));
        only_ours &= ours;
        if !ours {
            continue;
        }
        let path = entry.path();
        restrict(&path);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let inner = fs::read_dir(&path).into_iter().flatten().filter_map(Result::ok);
            inner.for_each(|inner| restrict(&inner.path()));
        }
    }
    if only_ours {
        restrict(state);
    }
}

/// Takes one file or folder away from others. Links are not followed.
fn restrict(path: &Path) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 || !(about.is_dir() || about.is_file()) {
        return;
    }
    let _ = fs::set_permissions(path, Permissions::from_mode(mode & 0o700));
}

#[cfg(test)]
mod tests {
    //! Unit tests of who may read what.

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn loosen(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_an_earlier_version_left_open_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir_all(state.join("resume")).unwrap();
        fs::write(state.join("resume/a.resume"), b"x").unwrap();
        fs::write(state.join("dht.dat"), b"x").unwrap();
        for (path, open) in
            [("", 0o755), ("resume", 0o775), ("resume/a.resume", 0o664), ("dht.dat", 0o644)]
        {
            loosen(&state.join(path), open);
        }
        correct(&state);
        for (path, closed) in
            [("", 0o700), ("resume", 0o700), ("resume/a.resume", 0o600), ("dht.dat", 0o600)]
        {
            assert_eq!(mode(&state.join(path)), closed, "{path}");
        }
    }

    #[test]
    fn a_folder_of_other_things_stays_as_it_is_and_so_do_those() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        fs::write(state.join("letter.txt"), b"x").unwrap();
        fs::write(state.join("session.log"), b"x").unwrap();
        loosen(state, 0o755);
        loosen(&state.join("letter.txt"), 0o644);
        loosen(&state.join("session.log"), 0o644);
        correct(state);
        let modes = ["", "letter.txt", "session.log"].map(|path| mode(&state.join(path)));
        assert_eq!(modes, [0o755, 0o644, 0o600]);
    }

    #[test]
    fn a_file_that_is_made_or_written_over_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.trace");
        fs::write(&path, b"an older one").unwrap();
        loosen(&path, 0o644);
        write(&path, b"new").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
        assert_eq!(read(&path, 3).unwrap(), b"new");
        assert_eq!(read(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let deep = folder.path().join("a/b");
        make_folder(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
    }
}
