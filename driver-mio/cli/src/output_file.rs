//! Files that a flag names to be written. Nothing that is there is overwritten without `--force`, nothing
//! that is read ever is, and a file is written whole or not at all. The place is looked at before the work
//! is done.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eddyline_mio::recorder::RecordTo;
use rustix::fs::{Access, access};

use super::args::RecordFlags;
use super::exit::{DISK, Failure, USAGE, WOULD_OVERWRITE, io_text};
use super::output::{bytes as print_bytes, line, say, warn};

/// Who may read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Whoever the user's mask lets.
    Usual,
    /// Its owner alone: it names what somebody downloads, and may hold passkeys.
    Owner,
}

/// A place to write to that was looked at.
#[derive(Clone, Debug)]
pub struct OutputFile {
    place: Place,
    readers: Readers,
    /// Nothing is to be written: what would be refused is told, and refused by nobody.
    dry: bool,
}

#[derive(Clone, Debug)]
enum Place {
    Stdout,
    /// A device, a pipe, a socket: written to, and never replaced.
    Special(PathBuf),
    File {
        path: PathBuf,
        replace: bool,
    },
}

impl OutputFile {
    /// Looks at the place that `text` names, `-` for standard output.
    ///
    /// # Errors
    /// When something is there and `force` is not given, when it is one of `inputs`, or when nothing can
    /// be written there.
    pub fn look<'a>(
        text: &Path,
        force: bool,
        inputs: impl IntoIterator<Item = &'a Path>,
        readers: Readers,
    ) -> Result<Self, Failure> {
        let place = look(text, force, inputs)?;
        Ok(Self { place, readers, dry: false })
    }

    /// Looks at a place to which nothing is to be written: where writing would be refused, that is told.
    ///
    /// # Errors
    /// When `text` names no file.
    pub fn look_only(text: &Path, force: bool) -> Result<Self, Failure> {
        let found = look(text, force, []);
        let file = |path: &Path| Place::File { path: path.into(), replace: false };
        let place = found.as_ref().map_or_else(|_| file(text), Place::clone);
        let output = Self { place, readers: Readers::Usual, dry: true };
        match found {
            Err(failure) if failure.code != USAGE => output.refuse(failure),
            other => other.map(drop),
        }?;
        Ok(output)
    }

    /// Writing this would be refused: fails, or tells it where nothing is written.
    pub fn refuse(&self, failure: Failure) -> Result<(), Failure> {
        if !self.dry {
            return Err(failure);
        }
        warn(&format!("without --dry-run this would fail: {}", failure.message));
        Ok(())
    }

    /// Whether it is standard output, so that nothing else may be printed there.
    pub fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// What prints a line about the file, where it does not get into it.
    pub fn beside(&self) -> fn(&str) {
        if self.is_stdout() { say } else { line }
    }

    /// How it is called.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Stdout => "stdout".into(),
            Place::Special(path) | Place::File { path, .. } => path.display().to_string(),
        }
    }

    /// Whether this file is what would be replaced.
    pub fn is(&self, other: &Metadata) -> bool {
        let Place::File { path, .. } = &self.place else { return false };
        path.metadata().is_ok_and(|own| same(&own, other))
    }

    /// The file that is written, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File { path, .. } => Some(path),
            Place::Stdout | Place::Special(_) => None,
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    /// When something has come to be there meanwhile, or the system refuses.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        match &self.place {
            Place::Stdout => {
                print_bytes(bytes);
                Ok(())
            }
            Place::Special(path) => {
                let written =
                    File::options().append(true).open(path).and_then(|mut f| f.write_all(bytes));
                written.map_err(|error| refused(path, &error))
            }
            Place::File { path, replace } => {
                self.write_whole(path, *replace, bytes).map_err(|error| refused(path, &error))
            }
        }
    }

    fn mode(&self) -> u32 {
        match self.readers {
            Readers::Usual => 0o666,
            Readers::Owner => 0o600,
        }
    }

    /// Through a file of another name beside it, so that a reader sees all of it or nothing.
    fn write_whole(&self, path: &Path, replace: bool, bytes: &[u8]) -> io::Result<()> {
        // A link stays a link: what it leads to is replaced.
        let path = if replace { path.canonicalize().unwrap_or(path.into()) } else { path.into() };
        let mode = std::fs::Permissions::from_mode(self.mode());
        // The user's mask holds for the mode.
        let mut draft = tempfile::Builder::new()
            .prefix(".eddyline-")
            .permissions(mode)
            .tempfile_in(folder_of(&path))?;
        draft.as_file_mut().write_all(bytes)?;
        draft.as_file().sync_all()?;
        if replace {
            draft.persist(path).map_err(|error| error.error)?;
            return Ok(());
        }
        match draft.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(error.error),
            // Some file systems cannot rename in this way.
            Err(_) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(self.mode());
                options.open(path)?.write_all(bytes)
            }
        }
    }
}

/// Where `--record` writes, if it is given; `inputs` are what the command reads, and `prints` is whether it prints
/// something on stdout.
///
/// # Errors
/// As [`OutputFile::look`], and when what is printed would get into the trace.
pub fn record_to(
    flags: &RecordFlags,
    inputs: &[String],
    prints: bool,
) -> Result<Option<RecordTo>, Failure> {
    let Some(path) = &flags.record else { return Ok(None) };
    let inputs = inputs.iter().map(Path::new);
    let file = OutputFile::look(path, flags.force.force, inputs, Readers::Owner)?;
    if file.is_stdout() && prints {
        let text =
            "the trace and what is printed cannot both go to stdout; name a file for --record";
        return Err(Failure::new(USAGE, text));
    }
    Ok(Some(match file.place {
        Place::Stdout => RecordTo { path: "/dev/stdout".into(), replace: false },
        Place::Special(path) => RecordTo { path, replace: false },
        Place::File { path, replace } => RecordTo { path, replace },
    }))
}

/// Whether it is what a shell makes of a redirection: that has such a name, and may be a file. In memory
/// (`/dev/shm`) are files as any other.
fn is_redirection(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

fn look<'a>(
    path: &Path,
    force: bool,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<Place, Failure> {
    if path == Path::new("-") || path == Path::new("/dev/stdout") {
        return Ok(Place::Stdout);
    }
    if path.as_os_str().is_empty() {
        return Err(Failure::new(USAGE, "the name of the output file is empty"));
    }
    let shown = path.display();
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Failure::new(
            WOULD_OVERWRITE,
            format!("{shown} is a folder; give a file name"),
        ));
    }
    match path.metadata() {
        Ok(about) if about.is_dir() => {
            Err(Failure::new(WOULD_OVERWRITE, format!("{shown} is a folder; give a file name")))
        }
        Ok(about) if !about.is_file() || is_redirection(path) => Ok(Place::Special(path.into())),
        Ok(about) => {
            let read = |input: &Path| input.metadata().is_ok_and(|other| same(&about, &other));
            if inputs.into_iter().any(read) {
                return Err(is_input(path));
            }
            if !force {
                return Err(refused(path, &io::ErrorKind::AlreadyExists.into()));
            }
            Ok(Place::File { path: path.into(), replace: true })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() && !force {
                return Err(refused(path, &io::ErrorKind::AlreadyExists.into()));
            }
            let folder = folder_of(path);
            let open = folder.metadata().and_then(|about| match about.is_dir() {
                true => Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?),
                false => Err(io::ErrorKind::NotADirectory.into()),
            });
            open.map_err(|error| refused(folder, &error))?;
            Ok(Place::File { path: path.into(), replace: force })
        }
        Err(error) => Err(refused(path, &error)),
    }
}

/// What is read is never written over.
pub fn is_input(path: &Path) -> Failure {
    let text = format!("{} is what is read, and is never overwritten", path.display());
    Failure::new(WOULD_OVERWRITE, text)
}

/// Whether both are one file, under whatever names.
pub fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(WOULD_OVERWRITE, format!("{shown} exists; use --force to overwrite it"))
        }
        // It is no source that was not found.
        io::ErrorKind::NotFound => Failure::new(DISK, format!("{shown}: {}", io_text(error))),
        _ => Failure::io(path, error),
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is written over, and what is not.

    use super::*;

    fn look_at(path: &Path, force: bool, input: &Path) -> Result<OutputFile, u8> {
        OutputFile::look(path, force, [input], Readers::Usual).map_err(|failure| failure.code)
    }

    #[test]
    fn what_is_there_is_written_over_only_by_force_and_what_is_read_never() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("old"), "old").unwrap();
        std::fs::hard_link(at("old"), at("twin")).unwrap();
        std::os::unix::fs::symlink("old", at("link")).unwrap();
        std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
        let none = at("none");
        for name in ["old", "link", "dangling"] {
            assert_eq!(look_at(&at(name), false, &none).unwrap_err(), WOULD_OVERWRITE, "{name}");
        }
        for name in ["old", "link", "twin"] {
            assert_eq!(look_at(&at(name), true, &at("old")).unwrap_err(), WOULD_OVERWRITE);
        }
        assert_eq!(look_at(folder.path(), true, &none).unwrap_err(), WOULD_OVERWRITE);
        assert_eq!(look_at(&at("absent/new"), false, &none).unwrap_err(), DISK);
        assert_eq!(look_at(&at("old/new"), false, &none).unwrap_err(), DISK);
        assert_eq!(look_at(Path::new(""), false, &none).unwrap_err(), USAGE);
        look_at(&at("link"), true, &none).unwrap().write(b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("old")).unwrap(), b"new");
        // Whatever comes to be there while the work is done is kept, and nothing is left of ours.
        let late = look_at(&at("late"), false, &none).unwrap();
        std::fs::write(at("late"), "somebody else's").unwrap();
        assert_eq!(late.write(b"new").unwrap_err().code, WOULD_OVERWRITE);
        assert_eq!(std::fs::read(at("late")).unwrap(), b"somebody else's");
        let hidden = std::fs::read_dir(folder.path()).unwrap().filter_map(Result::ok);
        assert!(!hidden.into_iter().any(|e| e.file_name().to_string_lossy().starts_with('.')));
    }

    #[test]
    fn a_file_in_memory_is_replaced_and_what_a_shell_redirects_is_not() {
        for path in ["/dev/fd/63", "/proc/self/fd/1", "/dev/null"] {
            assert!(is_redirection(Path::new(path)), "{path}");
        }
        for path in ["/dev/shm/x.torrent", "/home/dev/x", "dev/fd/1"] {
            assert!(!is_redirection(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let out = look_at(Path::new("/dev/null"), false, Path::new("/none")).unwrap();
        out.write(b"gone").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn a_private_file_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let out = OutputFile::look(&path, false, [], Readers::Owner).unwrap();
        out.write(b"x").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
