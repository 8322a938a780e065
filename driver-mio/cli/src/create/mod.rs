//! `create`: makes a `.torrent` of a file or a folder.

mod checks;
mod collect;
mod from_url;
mod hash;
mod remote;

use std::path::Path;
use std::process::ExitCode;

use eddyline::metainfo::{CreateOptions, Format, Metainfo, default_piece_length};

use super::args::{CreateArgs, General};
use super::documents::{Created, LeftOut};
use super::exit::{Failure, USAGE};
use super::hashing::threads;
use super::info::{print_torrent, torrent_info};
use super::output::{json as print_json, line, say, warn};
use super::output_file::{OutputFile, Readers};
use super::signals::Signals;
use super::units::size;
use collect::{FileFilter, Input, collect, sort};

pub use checks::check_name;
pub use collect::{SortKey, parse_sort_key};

/// Makes a `.torrent`.
pub fn create(args: &CreateArgs, general: General) -> Result<ExitCode, Failure> {
    let Some(path) = args.path.as_deref() else { return from_url::create(args, general) };
    let name = match &args.torrent.name {
        Some(name) => name.clone(),
        None => name_of(path)?,
    };
    checks::check_name(&name)?;
    let output = look_at_output(args, &name)?;
    let mut input = collect(path, &FileFilter::from_flags(&args.content)?, &output)?;
    let options = options(args, name, &input)?;
    checks::check_addresses(&options)?;
    checks::check_piece_length(&options)?;
    let keys = &args.content.sort_by;
    if options.format != Format::V1 && !keys.iter().all(|key| key.is_usual()) {
        let text =
            "files of v2 and hybrid torrents are in the order of their paths; leave out --sort-by";
        return Err(Failure::new(USAGE, text));
    }
    sort(&mut input.files, keys);
    warn_of(args, checks::warnings(&options, &input))?;
    let signals = signals()?;
    let workers = threads(args.output.threads.threads);
    let Some(torrent) = hash::build(options, &input, workers, general.quiet, &signals)? else {
        return Ok(ExitCode::from(signals.exit_code().unwrap_or_default()));
    };
    write(args, general, &torrent, &input, output)
}

fn signals() -> Result<Signals, Failure> {
    Signals::listen()
        .map_err(|error| Failure::new(1, format!("cannot listen for signals: {error}")))
}

/// Tells of what may be meant otherwise, or ends there where that was asked for.
fn warn_of(args: &CreateArgs, warnings: Vec<String>) -> Result<(), Failure> {
    for warning in warnings {
        if args.output.strict {
            return Err(Failure::new(USAGE, warning));
        }
        warn(&warning);
    }
    Ok(())
}

/// Writes what was made, and tells of it.
fn write(
    args: &CreateArgs,
    general: General,
    torrent: &[u8],
    input: &Input,
    output: OutputFile,
) -> Result<ExitCode, Failure> {
    // Whatever is written here can be read here.
    let metainfo =
        Metainfo::parse(torrent).map_err(|error| Failure::torrent("what was made", &error))?;
    if !args.output.dry_run {
        output.write(torrent)?;
    }
    print(args, &metainfo, input, &output);
    if !general.quiet && !output.is_stdout() {
        tell(&metainfo, &output, args.output.dry_run);
    }
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

fn look_at_output(args: &CreateArgs, name: &str) -> Result<OutputFile, Failure> {
    let flags = &args.output;
    let place = flags.output.clone().unwrap_or_else(|| format!("{name}.torrent"));
    // What is read is compared when it is known.
    let (place, force) = (Path::new(&place), flags.force.force);
    let output = match flags.dry_run {
        true => OutputFile::look_only(place, force)?,
        false => OutputFile::look(place, force, [], Readers::Usual)?,
    };
    let printed = [("json", flags.json), ("show", flags.show), ("link", flags.link)];
    match printed.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) if output.is_stdout() && !flags.dry_run => {
            let text = format!("the torrent and what --{flag} prints cannot both go to stdout");
            Err(Failure::new(USAGE, text))
        }
        _ => Ok(output),
    }
}

fn options(args: &CreateArgs, name: String, input: &Input) -> Result<CreateOptions, Failure> {
    let flags = &args.torrent;
    let piece_length = match flags.piece_length {
        None => default_piece_length(input.length()),
        Some(length) => u32::try_from(length)
            .map_err(|_| Failure::new(USAGE, "the piece length is too large"))?,
    };
    let creation_date = match flags.creation_date.as_deref() {
        None | Some("none") => None,
        Some(seconds) => Some(seconds.parse().map_err(|_| {
            Failure::new(USAGE, "--creation-date takes seconds since 1970, or none")
        })?),
    };
    let by = flags.created_by.clone();
    // Who is anonymous says in the torrent neither what made it.
    let own = if args.way.anonymous { "" } else { concat!("Eddyline ", env!("CARGO_PKG_VERSION")) };
    let by = by.unwrap_or_else(|| own.into());
    Ok(CreateOptions {
        name,
        piece_length,
        format: flags.format,
        // As they were sorted here.
        keep_order: true,
        trackers: flags
            .tracker
            .iter()
            .map(|tier| tier.split(',').map(|url| url.trim().to_owned()).collect())
            .collect(),
        web_seeds: flags.web_seed.clone(),
        private: flags.private,
        source: flags.source.clone(),
        comment: flags.comment.clone(),
        created_by: (!by.is_empty()).then_some(by),
        creation_date,
    })
}

/// Prints what was asked for of the torrent.
fn print(args: &CreateArgs, metainfo: &Metainfo, input: &Input, output: &OutputFile) {
    let flags = &args.output;
    if flags.json {
        let left_out = input
            .omitted
            .iter()
            .map(|(why, path)| LeftOut { path: path.display().to_string(), why: why.describe() });
        print_json(&Created {
            torrent: torrent_info(metainfo),
            output: output.name().to_owned(),
            written: !flags.dry_run,
            left_out: left_out.collect(),
        });
    } else if flags.show {
        print_torrent(metainfo, 0);
    }
    if flags.link && !flags.json {
        line(&metainfo.magnet().to_string());
    }
}

/// What came of it, in a line for people.
fn tell(metainfo: &Metainfo, output: &OutputFile, dry: bool) {
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
