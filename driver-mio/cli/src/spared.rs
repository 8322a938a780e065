//! What no output is written over, with or without `--force`: the files of the torrents that a command
//! works on, and its state.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use eddyline::base::hash::Sha1Hash;
use eddyline::metainfo::{FileEntry, Metainfo};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_disk::{Locations, PartTag};
use eddyline_session::session_store::SessionSet;
use eddyline_session::{Renames, Source};

use super::exit::{Failure, WOULD_OVERWRITE};
use super::output_file::same;

/// A place that a flag names, and what is there now.
#[derive(Debug)]
pub struct Spared<'a> {
    output: &'a Path,
    found: Option<Metadata>,
    /// Where it is from the root on, whatever links lead there.
    whole: Option<PathBuf>,
    state: Option<&'a Path>,
}

impl<'a> Spared<'a> {
    /// Looks at the place `output` for a command that keeps its state in `state`.
    ///
    /// # Errors
    /// When something of that state is there, or a file of a torrent of the session in it.
    pub fn look(output: &'a Path, state: Option<&'a Path>) -> Result<Self, Failure> {
        let found = output.metadata().ok().filter(Metadata::is_file);
        let whole = output.canonicalize().ok().or_else(|| whole(output));
        let spared = Self { output, found, whole, state };
        if state.is_some_and(|state| spared.is_in(state)) {
            return Err(spared.refuse("in the state folder"));
        }
        spared.set()?;
        Ok(spared)
    }

    /// Refuses what is a file of a torrent of the session, whichever torrents the command is about.
    fn set(&self) -> Result<(), Failure> {
        let Some(set) = self.state.and_then(|state| SessionSet::read(state).ok()) else {
            return Ok(());
        };
        for entry in set.list() {
            let bytes = set.torrent(&entry.hash).ok();
            let Some(metainfo) = bytes.and_then(|bytes| Metainfo::parse(&bytes).ok()) else {
                continue;
            };
            let folders = [&entry.folder, &entry.moving_to].into_iter().chain(&entry.left);
            for folder in folders.filter(|folder| !folder.is_empty()) {
                self.torrent(&metainfo, Path::new(folder))?;
            }
        }
        Ok(())
    }

    /// Refuses what is a file of this source, or may come to be one, where its data is in `folder`.
    ///
    /// # Errors
    /// When it is one. Of a magnet the files are not known: every file in the folder may be one.
    pub fn source(&self, source: &Source, folder: &Path) -> Result<(), Failure> {
        match source {
            Source::Torrent(metainfo) => self.torrent(metainfo, folder),
            Source::Magnet(_) if self.is_in(folder) => Err(self.refuse(
                "in the folder of the download, and the magnet does not say which files are its own",
            )),
            Source::Magnet(_) => Ok(()),
        }
    }

    /// Refuses what is a file of this torrent in `folder`, or will be one.
    ///
    /// # Errors
    /// When it is one.
    pub fn torrent(&self, metainfo: &Metainfo, folder: &Path) -> Result<(), Failure> {
        let hash = metainfo.info_hashes().wire();
        let renames = self.renames(hash, folder);
        let at = |path: &[String]| path.iter().fold(folder.to_owned(), |way, part| way.join(part));
        let files = (0u32..).zip(metainfo.layout().files());
        let stored = files.filter(|(_, file)| file.is_stored() || file.symlink.is_some());
        let names = stored.flat_map(|(index, file): (u32, &FileEntry)| {
            let renamed = renames.get(&index).map(|renamed| at(&renamed.to));
            let own = file.own.as_deref().map(at);
            [Some(at(&file.path)), own, renamed].into_iter().flatten()
        });
        let tag = self.state.and_then(|state| ResumeStore::look_up_tag(state, hash));
        let part = tag.map(|tag| folder.join(PartTag::new(tag).file_name(metainfo)));
        match names.chain(part).any(|path| self.is(&path)) {
            true => Err(self.refuse(&format!("a file of {}", metainfo.name()))),
            false => Ok(()),
        }
    }

    /// What an earlier run called files.
    fn renames(&self, hash: Sha1Hash, folder: &Path) -> Renames {
        let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let here = Locations::number_of(&whole.to_string_lossy());
        let resume = self.state.and_then(|state| ResumeStore::at(state).load_in(hash, here));
        resume.map(|resume| resume.renamed).unwrap_or_default()
    }

    /// Whether this path is the same file, or will be where neither is there.
    fn is(&self, path: &Path) -> bool {
        match &self.found {
            Some(found) => path.metadata().is_ok_and(|other| same(found, &other)),
            None => {
                let alike = path.file_name() == self.whole.as_deref().and_then(Path::file_name);
                alike && self.whole.is_some() && whole(path) == self.whole
            }
        }
    }

    /// Whether a file is there, and is in this folder or in one below it.
    fn is_in(&self, folder: &Path) -> bool {
        let Some(whole) = self.whole.as_deref().filter(|_| self.found.is_some()) else {
            return false;
        };
        folder.canonicalize().is_ok_and(|folder| whole.starts_with(folder))
    }

    fn refuse(&self, what: &str) -> Failure {
        let text = format!(
            "{} is {what}, and is never overwritten; name another file",
            self.output.display()
        );
        Failure::new(WOULD_OVERWRITE, text)
    }
}

/// A path from the root on, of what need not be there in a folder that is.
fn whole(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| *folder != OsStr::new(""));
    Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
}
