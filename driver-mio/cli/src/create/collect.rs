//! What goes into a torrent: the files below a path, in order, and what is left out of it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eddyline::metainfo::{InputFile, Metainfo, is_reserved};
use globset::{Glob, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use super::super::args::ContentFlags;
use super::super::exit::{Failure, USAGE};
use super::super::output_file::{OutputFile, is_input};
use super::super::source::MAX_FILE;

/// Files that systems leave behind and nobody wants, in small letters.
const JUNK: &[&str] = &["thumbs.db", "desktop.ini"];

/// One file to put in.
pub struct InputPath {
    /// What the torrent says of it.
    pub file: InputFile,
    /// Where it is.
    pub path: PathBuf,
    /// As which it was found.
    pub stamp: Stamp,
}

/// What tells whether a file is still the one that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// Of a file as it is now.
    pub fn of(about: &Metadata) -> Self {
        Self {
            file: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        }
    }
}

/// Why something below the path is not in the torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Omission {
    /// A symbolic link.
    Link,
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// A FIFO, a socket or a device.
    Special,
    /// Its name begins with a dot.
    Hidden,
    /// What a system or this program has left there.
    Junk,
    /// The torrent that is about to be written over.
    Output,
}

impl Omission {
    /// In words, with what would bring it in.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Link => "symbolic links (put in with --follow-symlinks)",
            Self::BrokenLink => "symbolic links that lead nowhere",
            Self::Special => "FIFOs, sockets and devices",
            Self::Hidden => "hidden files (put in with --include-hidden)",
            Self::Junk => "files that systems leave behind (put in with --include-junk)",
            Self::Output => "the torrent file itself",
        }
    }

    /// All reasons, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Link, Self::BrokenLink, Self::Special, Self::Hidden, Self::Junk, Self::Output];
}

/// Everything that was found.
#[derive(Default)]
pub struct Input {
    /// What goes in, in the order of the torrent.
    pub files: Vec<InputPath>,
    /// What does not, below the path.
    pub omitted: Vec<(Omission, PathBuf)>,
    /// Patterns of `--glob` that let nothing in.
    pub fruitless: Vec<String>,
}

impl Input {
    /// Bytes of all files.
    pub fn length(&self) -> u64 {
        self.files.iter().map(|input| input.file.length).sum()
    }
}

/// Which files are wanted.
pub struct FileFilter {
    only: Option<GlobSet>,
    /// Those of it, as they were given.
    patterns: Vec<String>,
    without: Option<GlobSet>,
    follow_links: bool,
    hidden: bool,
    junk: bool,
}

impl FileFilter {
    /// As the flags say.
    pub fn from_flags(flags: &ContentFlags) -> Result<Self, Failure> {
        Ok(Self {
            only: globs(&flags.glob)?,
            patterns: flags.glob.clone(),
            without: globs(&flags.exclude)?,
            follow_links: flags.follow_symlinks,
            hidden: flags.include_hidden,
            junk: flags.include_junk,
        })
    }

    /// Whether the patterns let it in.
    fn matches(&self, path: &Path) -> bool {
        let is_in = |set: &GlobSet| set.is_match(path);
        self.only.as_ref().is_none_or(is_in) && !self.without.as_ref().is_some_and(is_in)
    }

    /// Patterns of which no file is.
    fn fruitless(&self, files: &[InputPath]) -> Vec<String> {
        let Some(only) = &self.only else { return Vec::new() };
        let mut left: BTreeSet<usize> = (0..self.patterns.len()).collect();
        for input in files {
            if left.is_empty() {
                break;
            }
            let path: PathBuf = input.file.path.iter().collect();
            for pattern in only.matches(path) {
                left.remove(&pattern);
            }
        }
        left.into_iter().map(|pattern| self.patterns[pattern].clone()).collect()
    }

    /// Whether the patterns may let in what is in this folder.
    fn may_match_in(&self, folder: &Path) -> bool {
        self.only.is_none() && self.matches(folder) && self.matches(&folder.join("x"))
    }

    /// Why this is left out, going by its name.
    fn unwanted_name(&self, entry: &DirEntry) -> Option<Omission> {
        let name = entry.file_name().to_string_lossy();
        if !self.hidden && name.starts_with('.') {
            return Some(Omission::Hidden);
        }
        let junk = JUNK.contains(&name.to_lowercase().as_str()) || is_reserved(&name);
        (!self.junk && junk).then_some(Omission::Junk)
    }
}

/// What matches one of these patterns; `None` where there is none.
fn globs(patterns: &[String]) -> Result<Option<GlobSet>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| Failure::new(USAGE, error.to_string()))?);
    }
    set.build().map(Some).map_err(|error| Failure::new(USAGE, error.to_string()))
}

/// Finds everything that goes into the torrent of `path`, and what does not.
pub fn collect(path: &Path, wanted: &FileFilter, output: &OutputFile) -> Result<Input, Failure> {
    let about = std::fs::metadata(path).map_err(|error| Failure::io(path, &error))?;
    if about.is_file() {
        if output.is(&about) {
            output.refuse(is_input(path))?;
        }
        let one = input_path(Vec::new(), path.to_owned(), &about);
        return Ok(Input { files: vec![one], ..Input::default() });
    }
    if !about.is_dir() {
        let text = format!("{} is neither a file nor a folder", path.display());
        return Err(Failure::new(USAGE, text));
    }
    let mut input = Input::default();
    let mut walk = WalkDir::new(path).min_depth(1).follow_links(wanted.follow_links).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                input.omitted.push((Omission::BrokenLink, broken_link(path, error)?));
                continue;
            }
        };
        let relative = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_owned();
        let kind = entry.file_type();
        if let Some(why) = wanted.unwanted_name(&entry) {
            if kind.is_dir() {
                walk.skip_current_dir();
                if wanted.may_match_in(&relative) {
                    input.omitted.push((why, relative));
                }
            } else if wanted.matches(&relative) {
                input.omitted.push((why, relative));
            }
            continue;
        }
        if kind.is_dir() || !wanted.matches(&relative) {
            continue;
        }
        if !kind.is_file() {
            let why = if kind.is_symlink() { Omission::Link } else { Omission::Special };
            input.omitted.push((why, relative));
            continue;
        }
        let about = entry.metadata().map_err(|error| walk_failure(path, error))?;
        if output.is(&about) {
            if is_torrent(entry.path()) {
                input.omitted.push((Omission::Output, relative));
                continue;
            }
            output.refuse(is_input(entry.path()))?;
        }
        input.files.push(input_path(components(&relative)?, entry.path().to_owned(), &about));
    }
    input.omitted.sort_by(|a, b| a.1.cmp(&b.1));
    input.fruitless = wanted.fruitless(&input.files);
    Ok(input)
}

fn input_path(components: Vec<String>, path: PathBuf, about: &Metadata) -> InputPath {
    let executable = about.permissions().mode() & 0o111 != 0;
    let file = InputFile { path: components, length: about.len(), executable };
    InputPath { file, path, stamp: Stamp::of(about) }
}

fn components(relative: &Path) -> Result<Vec<String>, Failure> {
    let parts: Option<Vec<String>> =
        relative.iter().map(|part| part.to_str().map(str::to_owned)).collect();
    parts.ok_or_else(|| {
        let text = format!("{}: the name is not UTF-8; rename the file", relative.display());
        Failure::new(USAGE, text)
    })
}

/// The path of a link that leads nowhere, if that is what was met.
fn broken_link(root: &Path, error: walkdir::Error) -> Result<PathBuf, Failure> {
    let place = error.path().unwrap_or(root).to_owned();
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    if error.loop_ancestor().is_none()
        && place.is_symlink()
        && error.io_error().is_some_and(is_missing)
    {
        return Ok(place.strip_prefix(root).unwrap_or(&place).to_owned());
    }
    Err(walk_failure(root, error))
}

fn walk_failure(root: &Path, error: walkdir::Error) -> Failure {
    let place = error.path().unwrap_or(root).to_owned();
    if error.loop_ancestor().is_some() {
        let text = format!("{} leads back to a folder around it", place.display());
        return Failure::new(USAGE, text);
    }
    Failure::io(&place, &error.into_io_error().unwrap_or(io::ErrorKind::Other.into()))
}

fn is_torrent(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let file = File::open(path).map(|file| file.take(MAX_FILE));
    file.and_then(|mut file| file.read_to_end(&mut bytes)).is_ok()
        && Metainfo::parse(&bytes).is_ok()
}

/// By what files are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SortKey {
    by_size: bool,
    descending: bool,
}

/// Reads `path` or `size`, alone or with `:ascending` or `:descending`.
pub fn parse_sort_key(text: &str) -> Result<SortKey, String> {
    let (key, order) = text.split_once(':').unwrap_or((text, "ascending"));
    let by_size = match key {
        "path" => false,
        "size" => true,
        _ => return Err(format!("'{key}' is neither path nor size")),
    };
    let descending = match order {
        "ascending" => false,
        "descending" => true,
        _ => return Err(format!("'{order}' is neither ascending nor descending")),
    };
    Ok(SortKey { by_size, descending })
}

impl SortKey {
    /// Whether this is the order that files have without it.
    pub fn is_usual(self) -> bool {
        !self.by_size && !self.descending
    }

    fn compare(self, one: &InputFile, other: &InputFile) -> Ordering {
        let order = match self.by_size {
            true => one.length.cmp(&other.length),
            false => one.path.cmp(&other.path),
        };
        if self.descending { order.reverse() } else { order }
    }
}

/// Orders files by the first key, those that are alike by the next one, and by path in the end.
pub fn sort(files: &mut [InputPath], keys: &[SortKey]) {
    files.sort_by(|one, other| {
        let (one, other) = (&one.file, &other.file);
        let by_keys = keys
            .iter()
            .fold(Ordering::Equal, |order, key| order.then_with(|| key.compare(one, other)));
        by_keys.then_with(|| one.path.cmp(&other.path))
    });
}
