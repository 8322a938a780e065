//! `create`: makes a `.torrent` of a file or a folder.

mod checks;
mod collect;
mod hash;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use eddyline::metainfo::{CreateOptions, Format, Metainfo, default_piece_length};

use super::documents::{Created, LeftOut};
use super::exit::{Failure, USAGE};
use super::hashing::threads;
use super::info::{print_torrent, torrent_info};
use super::output::{json as print_json, line, say, warn};
use super::output_file::{OutputFile, Readers, forced};
use super::signals::Signals;
use super::units::size;
use collect::{FileFilter, Input, SortKey, collect, sort};

pub use checks::check_name;
pub use collect::parse_sort_key;

/// Makes a `.torrent`.
pub fn create(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let path = matches.get_one::<PathBuf>("path").ok_or_else(|| Failure::new(USAGE, "no path"))?;
    let name = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None => name_of(path)?,
    };
    checks::check_name(&name)?;
    let output = look_at_output(matches, &name)?;
    let mut input = collect(path, &FileFilter::from_flags(matches)?, &output)?;
    let options = options(matches, name, &input)?;
    checks::check_addresses(&options)?;
    checks::check_piece_length(&options)?;
    let keys: Vec<SortKey> = matches.get_many("sort-by").into_iter().flatten().copied().collect();
    if options.format != Format::V1 && !keys.iter().all(|key| key.is_usual()) {
        let text =
            "files of v2 and hybrid torrents are in the order of their paths; leave out --sort-by";
        return Err(Failure::new(USAGE, text));
    }
    sort(&mut input.files, &keys);
    for warning in checks::warnings(&options, &input) {
        if matches.get_flag("strict") {
            return Err(Failure::new(USAGE, warning));
        }
        warn(&warning);
    }
    let signals = Signals::listen()
        .map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))?;
    let workers = threads(matches.get_one::<u16>("threads").copied());
    let quiet = matches.get_flag("quiet");
    let Some(torrent) = hash::build(options, &input, workers, quiet, &signals)? else {
        return Ok(ExitCode::from(signals.exit_code().unwrap_or_default()));
    };
    // Whatever is written here can be read here.
    let metainfo =
        Metainfo::parse(&torrent).map_err(|error| Failure::torrent("what was made", &error))?;
    let dry = matches.get_flag("dry-run");
    if !dry {
        output.write(&torrent)?;
    }
    tell(matches, &metainfo, &input, &output, dry);
    Ok(ExitCode::SUCCESS)
}

/// The last part of the path, of a link its own; where it has none, as `.`, that of the folder meant.
fn name_of(path: &Path) -> Result<String, Failure> {
    let full = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().map_err(|error| Failure::io(path, &error))?,
    };
    let name = full.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| Failure::new(USAGE, "the path has no usable name; give one with --name"))
}

fn look_at_output(matches: &ArgMatches, name: &str) -> Result<OutputFile, Failure> {
    let given = matches.get_one::<String>("output").cloned();
    let place = given.unwrap_or_else(|| format!("{name}.torrent"));
    // What is read is compared when it is known.
    let (place, force) = (Path::new(&place), forced(matches));
    let output = match matches.get_flag("dry-run") {
        true => OutputFile::look_only(place, force)?,
        false => OutputFile::look(place, force, [], Readers::Usual)?,
    };
    let printed = ["json", "show", "link"].into_iter().find(|flag| matches.get_flag(flag));
    match printed {
        Some(flag) if output.is_stdout() && !matches.get_flag("dry-run") => {
            let text = format!("the torrent and what --{flag} prints cannot both go to stdout");
            Err(Failure::new(USAGE, text))
        }
        _ => Ok(output),
    }
}

fn options(matches: &ArgMatches, name: String, input: &Input) -> Result<CreateOptions, Failure> {
    let text = |key: &str| matches.get_one::<String>(key).cloned();
    let list = |key: &str| -> Vec<String> {
        matches.get_many::<String>(key).into_iter().flatten().cloned().collect()
    };
    let piece_length = match matches.get_one::<u64>("piece-length") {
        None => default_piece_length(input.length()),
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
        // As they were sorted here.
        keep_order: true,
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

/// What came of it: a line for people, and what was asked for.
fn tell(matches: &ArgMatches, metainfo: &Metainfo, input: &Input, output: &OutputFile, dry: bool) {
    if matches.get_flag("json") {
        let left_out = input
            .omitted
            .iter()
            .map(|(why, path)| LeftOut { path: path.display().to_string(), why: why.describe() });
        print_json(&Created {
            torrent: torrent_info(metainfo),
            output: output.name().to_owned(),
            written: !dry,
            left_out: left_out.collect(),
        });
    } else if matches.get_flag("show") {
        print_torrent(metainfo, 0);
    }
    if matches.get_flag("link") && !matches.get_flag("json") {
        line(&metainfo.magnet().to_string());
    }
    if matches.get_flag("quiet") || output.is_stdout() {
        return;
    }
    let files = metainfo.layout().files().iter().filter(|file| !file.attributes.pad).count();
    let geometry = metainfo.geometry();
    let hash = match (metainfo.info_hashes().v1, metainfo.info_hashes().v2) {
        (Some(hash), _) => hash.to_hex(),
        (None, Some(hash)) => hash.to_hex(),
        (None, None) => String::new(),
    };
    say(&format!(
        "{} {}: {} in {files} file{}, {} piece{} of {}, info-hash {hash}",
        if dry { "would write" } else { "wrote" },
        output.name(),
        size(metainfo.layout().payload_length()),
        if files == 1 { "" } else { "s" },
        geometry.pieces(),
        if geometry.pieces() == 1 { "" } else { "s" },
        size(geometry.piece_length().into()),
    ));
}
