//! `create`: makes a `.torrent` of a file or a folder.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use eddyline::base::hash::{Sha1Hash, Sha256Hash};
use eddyline::metainfo::{
    BLOCK_LENGTH, CreateNeed, CreateOptions, Creator, Format, Geometry, InputFile, Layout,
    default_piece_length,
};
use eddyline_mio::disk::{HashBuffer, side_by_side};
use eddyline_mio::lanes::LANES;
use globset::{Glob, GlobSet, GlobSetBuilder};
use sha1::Sha1;
use sha2::Sha256;

use super::exit::{Failure, USAGE, WOULD_OVERWRITE};
use super::hashing::{in_parallel, threads};
use super::output::{bytes, warn};

/// Files to put in, with their places on disk in the same order.
struct Input {
    files: Vec<(InputFile, PathBuf)>,
}

/// Makes a `.torrent`.
pub fn create(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = matches.get_one::<PathBuf>("path").ok_or_else(|| Failure::new(USAGE, "no path"))?;
    let name = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None => name_of(path)?,
    };
    let input = collect(path, &globs(matches, "glob")?, &globs(matches, "exclude")?)?;
    let total: u64 = input.files.iter().map(|(file, _)| file.length).sum();
    let options = options(matches, name.clone(), total)?;
    for warning in warnings(&options, total) {
        if matches.get_flag("strict") {
            return Err(Failure::new(USAGE, warning));
        }
        warn(warning);
    }
    let workers = threads(matches.get_one::<u16>("threads").copied());
    let torrent = build(options, &input, workers)?;
    let output = matches.get_one::<String>("output").cloned();
    write(
        &output.unwrap_or_else(|| format!("{name}.torrent")),
        &torrent,
        matches.get_flag("force"),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn name_of(path: &Path) -> Result<String, Failure> {
    let full = path.canonicalize().map_err(|error| Failure::io(path, &error))?;
    let name = full.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| Failure::new(USAGE, "the path has no usable name; give one with --name"))
}

fn globs(matches: &ArgMatches, key: &str) -> Result<Option<GlobSet>, Failure> {
    let Some(patterns) = matches.get_many::<String>(key) else { return Ok(None) };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| Failure::new(USAGE, error.to_string()))?);
    }
    set.build().map(Some).map_err(|error| Failure::new(USAGE, error.to_string()))
}

fn options(matches: &ArgMatches, name: String, total: u64) -> Result<CreateOptions, Failure> {
    let text = |key: &str| matches.get_one::<String>(key).cloned();
    let list = |key: &str| -> Vec<String> {
        matches.get_many::<String>(key).into_iter().flatten().cloned().collect()
    };
    let piece_length = match matches.get_one::<u64>("piece-length") {
        None => default_piece_length(total),
        Some(length) => u32::try_from(*length)
            .map_err(|_| Failure::new(USAGE, "the piece length is too large"))?,
    };
    let creation_date = match text("creation-date").as_deref() {
        None | Some("none") => None,
        Some(seconds) => Some(seconds.parse().map_err(|_| {
            Failure::new(USAGE, "--creation-date takes seconds since 1970, or none")
        })?),
    };
    let by = text("created-by");
    let by = by.unwrap_or_else(|| concat!("Eddyline ", env!("CARGO_PKG_VERSION")).into());
    Ok(CreateOptions {
        name,
        piece_length,
        format: match text("format").as_deref() {
            Some("v2") => Format::V2,
            Some("hybrid") => Format::Hybrid,
            _ => Format::V1,
        },
        trackers: list("tracker")
            .iter()
            .map(|tier| tier.split(',').map(|url| url.trim().to_owned()).collect())
            .collect(),
        web_seeds: list("web-seed"),
        private: matches.get_flag("private"),
        source: text("source"),
        comment: text("comment"),
        created_by: (!by.is_empty()).then_some(by),
        creation_date,
    })
}

fn warnings(options: &CreateOptions, total: u64) -> Vec<&'static str> {
    let mut all = Vec::new();
    if options.private && options.trackers.is_empty() {
        all.push("a private torrent without a tracker finds no peers");
    }
    let pieces = total / u64::from(options.piece_length.max(1));
    if options.piece_length < BLOCK_LENGTH || pieces > 100_000 {
        all.push("the pieces are needlessly small");
    }
    if !options.piece_length.is_power_of_two() {
        all.push("the piece length is not a power of two, which some clients refuse");
    }
    all
}

fn collect(
    path: &Path,
    only: &Option<GlobSet>,
    without: &Option<GlobSet>,
) -> Result<Input, Failure> {
    let meta = std::fs::metadata(path).map_err(|error| Failure::io(path, &error))?;
    if meta.is_file() {
        let file = input_file(vec![], &meta);
        return Ok(Input { files: vec![(file, path.to_owned())] });
    }
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let place = error.path().unwrap_or(path).to_owned();
            Failure::io(&place, &error.into_io_error().unwrap_or(io::ErrorKind::Other.into()))
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(path).unwrap_or(entry.path());
        let matched = |set: &Option<GlobSet>| set.as_ref().map(|set| set.is_match(relative));
        if matched(only) == Some(false) || matched(without) == Some(true) {
            continue;
        }
        let parts: Option<Vec<String>> =
            relative.iter().map(|part| part.to_str().map(str::to_owned)).collect();
        let parts = parts.ok_or_else(|| {
            let text = format!("{}: the name is not UTF-8; rename the file", relative.display());
            Failure::new(USAGE, text)
        })?;
        let meta = entry.metadata().map_err(|error| {
            Failure::io(entry.path(), &error.into_io_error().unwrap_or(io::ErrorKind::Other.into()))
        })?;
        files.push((input_file(parts, &meta), entry.path().to_owned()));
    }
    files.sort();
    Ok(Input { files })
}

fn input_file(path: Vec<String>, meta: &std::fs::Metadata) -> InputFile {
    let executable = meta.permissions().mode() & 0o111 != 0;
    InputFile { path, length: meta.len(), executable }
}

/// Hashes everything on several threads and assembles the torrent.
fn build(options: CreateOptions, input: &Input, workers: usize) -> Result<Vec<u8>, Failure> {
    let usage = |error: eddyline::metainfo::CreateError| Failure::new(USAGE, error.to_string());
    let files = input.files.iter().map(|(file, _)| file.clone()).collect();
    let mut creator = Creator::new(options, files).map_err(usage)?;
    // Files of the layout without padding come in the order of the input.
    let mut paths = Vec::new();
    let mut sources = input.files.iter();
    for entry in creator.layout().files() {
        let source = if entry.attributes.pad { None } else { sources.next() };
        paths.push(source.map(|(_, path)| path.as_path()));
    }
    let needs: Vec<CreateNeed> = creator.needs().collect();
    let layout = creator.layout().clone();
    let hasher = Hasher { geometry: creator.geometry(), layout: &layout, paths: &paths };
    // What is hashed side by side is one piece of work.
    let alike = |a: &CreateNeed, b: &CreateNeed| hasher.size(a) == hasher.size(b);
    let groups: Vec<&[CreateNeed]> =
        needs.chunk_by(alike).flat_map(|run| run.chunks(LANES)).collect();
    let work = |group: &&[CreateNeed], own: &mut Own| hasher.hash(group, own);
    in_parallel(&groups, workers, work, |group, hashed| {
        for (need, hashed) in group.iter().zip(hashed) {
            match (*need, hashed) {
                (CreateNeed::Piece { index }, Hashed::Piece(hash)) => {
                    creator.provide_piece(index, hash);
                }
                (CreateNeed::Blocks { file, offset, .. }, Hashed::Blocks(hashes)) => {
                    creator.provide_blocks(file, offset, hashes);
                }
                _ => {}
            }
        }
    })?;
    creator.finish().map_err(usage)
}

enum Hashed {
    Piece(Sha1Hash),
    Blocks(Vec<Sha256Hash>),
}

/// What a thread keeps: a buffer, and the file that it read last.
#[derive(Default)]
struct Own {
    buffer: HashBuffer,
    file: Option<(u32, File)>,
}

/// Hashes parts of the input.
struct Hasher<'a> {
    geometry: Geometry,
    layout: &'a Layout,
    /// Where each file is; nothing for padding.
    paths: &'a [Option<&'a Path>],
}

impl Hasher<'_> {
    /// Bytes of a piece; nothing for blocks, which are hashed side by side among themselves.
    fn size(&self, need: &CreateNeed) -> Option<u32> {
        match need {
            CreateNeed::Piece { index } => Some(self.geometry.piece_size(*index)),
            CreateNeed::Blocks { .. } => None,
        }
    }

    fn hash(&self, group: &[CreateNeed], own: &mut Own) -> Result<Vec<Hashed>, Failure> {
        let Own { buffer, file } = own;
        if let Some(size) = group.first().and_then(|need| self.size(need)) {
            let read = |lane: usize, at: usize, into: &mut [u8]| match group[lane] {
                CreateNeed::Piece { index } => {
                    self.read(file, self.geometry.piece_offset(index) + at as u64, into)
                }
                CreateNeed::Blocks { .. } => Ok(()),
            };
            let digests = side_by_side::<Sha1, _>(group.len(), size as usize, buffer, read);
            let hashes = digests.into_iter();
            return hashes.map(|hash| Ok(Hashed::Piece(Sha1Hash(hash?.into())))).collect();
        }
        group.iter().map(|need| self.hash_blocks(need, own)).collect()
    }

    fn hash_blocks(&self, need: &CreateNeed, own: &mut Own) -> Result<Hashed, Failure> {
        let CreateNeed::Blocks { file, offset, length } = *need else {
            return Ok(Hashed::Blocks(Vec::new()));
        };
        let Own { buffer, file: open } = own;
        let start = self.layout.files()[file as usize].offset + offset;
        let mut hashes = Vec::new();
        let mut at = 0;
        while at < length {
            // Whole blocks go sixteen at a time, and the last of a file by itself.
            let whole = ((length - at) / BLOCK_LENGTH).min(LANES as u32);
            let (count, size) =
                if whole > 0 { (whole, BLOCK_LENGTH) } else { (1, (length - at) % BLOCK_LENGTH) };
            let read = |lane: usize, from: usize, into: &mut [u8]| {
                let place = u64::from(at) + lane as u64 * u64::from(BLOCK_LENGTH) + from as u64;
                self.read(open, start + place, into)
            };
            let digests = side_by_side::<Sha256, _>(count as usize, size as usize, buffer, read);
            for digest in digests {
                hashes.push(Sha256Hash(digest?.into()));
            }
            at += count * size;
        }
        Ok(Hashed::Blocks(hashes))
    }

    /// Fills `into` with content from `offset` on.
    fn read(
        &self,
        open: &mut Option<(u32, File)>,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Failure> {
        let mut rest = into;
        for slice in self.layout.slices(offset, rest.len() as u32) {
            let (part, behind) = rest.split_at_mut(slice.length as usize);
            rest = behind;
            let Some(path) = self.paths[slice.file as usize] else {
                part.fill(0);
                continue;
            };
            let failed = |error| Failure::io(path, &error);
            if open.as_ref().is_none_or(|(number, _)| *number != slice.file) {
                *open = Some((slice.file, File::open(path).map_err(failed)?));
            }
            if let Some((_, file)) = open {
                file.read_exact_at(part, slice.offset).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Writes the torrent, at once or not at all.
fn write(output: &str, torrent: &[u8], force: bool) -> Result<(), Failure> {
    if output == "-" {
        bytes(torrent);
        return Ok(());
    }
    let path = Path::new(output);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(WOULD_OVERWRITE, format!("{output} exists; use --force to overwrite it"))
        }
        _ => Failure::io(path, &error),
    };
    if path.exists() && !force {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut draft =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    draft.write_all(torrent).map_err(failed)?;
    let readable = std::fs::Permissions::from_mode(0o644);
    draft.as_file().set_permissions(readable).map_err(failed)?;
    draft.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
