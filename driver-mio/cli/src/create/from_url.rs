//! `create --from-url`: a torrent of what a web server has, which becomes its web seed. Nothing of it is kept.

use std::path::PathBuf;
use std::process::ExitCode;

use eddyline::base::addr::Scope;
use eddyline::base::hash::{Sha1Hash, Sha256Hash};
use eddyline::metainfo::{
    BLOCK_LENGTH, CreateError, CreateNeed, CreateOptions, Creator, InputFile,
};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use url::Url;

use super::super::args::{CreateArgs, General};
use super::super::exit::{Failure, USAGE};
use super::super::hashing::HashingProgress;
use super::super::setup::names;
use super::collect::{Input, InputPath, Stamp};
use super::remote::{Found, Reader};
use super::{checks, look_at_output, options, signals, warn_of, write};

/// Makes a `.torrent` of what the addresses lead to.
pub(super) fn create(args: &CreateArgs, general: General) -> Result<ExitCode, Failure> {
    let plan = Plan::of(&args.from_url, args.torrent.name.as_deref())?;
    let output = look_at_output(args, &plan.name)?;
    let (names, signals) = (names(&args.way)?, signals()?);
    let stopped = || Ok(ExitCode::from(signals.exit_code().unwrap_or_default()));
    let reader = Reader { names: &names, signals: &signals };
    let mut found = Vec::new();
    for (_, url) in &plan.files {
        match reader.look(url) {
            Ok(of_one) => found.push(of_one),
            Err(Some(failure)) => return Err(failure),
            Err(None) => return stopped(),
        }
    }
    let input = plan.input(&found);
    let mut options = options(args, plan.name.clone(), &input)?;
    if !options.web_seeds.contains(&plan.web_seed) {
        options.web_seeds.insert(0, plan.web_seed.clone());
    }
    checks::check_addresses(&options)?;
    checks::check_piece_length(&options)?;
    let mut warnings = checks::warnings(&options, &input);
    if found.iter().any(|found| !found.ranges && found.length > 0) {
        let text =
            "the server sends whole files only; as a web seed it is of little use among peers";
        warnings.push(text.into());
    }
    if found.iter().any(|found| found.scope != Scope::Public) {
        warnings.push("the server is of a local network, where no torrent leads anybody".into());
    }
    warn_of(args, warnings)?;
    match build(options, &plan, &found, &reader, general.quiet) {
        Ok(torrent) => write(args, general, &torrent, &input, output),
        Err(Some(failure)) => Err(failure),
        Err(None) => stopped(),
    }
}

/// What is read from where, and what the torrent says of it.
#[derive(PartialEq, Eq, Debug)]
struct Plan {
    name: String,
    /// The path in the torrent, which is none for a torrent of one bare file, and the address.
    files: Vec<(Vec<String>, String)>,
    web_seed: String,
}

impl Plan {
    fn of(urls: &[String], name: Option<&str>) -> Result<Self, Failure> {
        let parsed: Vec<Url> = urls.iter().map(|url| check(url)).collect::<Result<_, _>>()?;
        if let ([url], [text]) = (parsed.as_slice(), urls) {
            let own = parts(url).pop().unwrap_or_default();
            let name = name.map_or(own, str::to_owned);
            checks::check_name(&name)?;
            return Ok(Self {
                name,
                files: vec![(Vec::new(), text.clone())],
                web_seed: text.clone(),
            });
        }
        // What a client asks for is the web seed, the name of the torrent, and the path in it.
        let refuse = |text: &str| Err(Failure::new(USAGE, text.to_owned()));
        let folder_of = |url: &Url| {
            let mut folder = url.clone();
            folder.path_segments_mut().ok()?.pop();
            Some(folder)
        };
        let folder = folder_of(&parsed[0]);
        if parsed.iter().any(|url| url.query().is_some() || folder_of(url) != folder) {
            return refuse("several files have to be in one folder of one server, without a query");
        }
        let Some(mut base) = folder.filter(|folder| !parts(folder).is_empty()) else {
            return refuse("several files have to be in a folder, whose name the torrent gets");
        };
        let own = parts(&base).pop().unwrap_or_default();
        if name.is_some_and(|name| name != own) {
            return refuse(
                "several files are found under the name of their folder only; leave out --name",
            );
        }
        checks::check_name(&own)?;
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop().push("");
        }
        let mut files = Vec::new();
        for (url, text) in parsed.iter().zip(urls) {
            let file = parts(url).pop().unwrap_or_default();
            checks::check_name(&file)?;
            files.push((vec![file], text.clone()));
        }
        files.sort();
        Ok(Self { name: own, files, web_seed: base.into() })
    }

    /// The same as if it had been found in a folder.
    fn input(&self, found: &[Found]) -> Input {
        let files = self.files.iter().zip(found).map(|((path, url), found)| InputPath {
            file: InputFile { path: path.clone(), length: found.length, executable: false },
            path: PathBuf::from(url),
            stamp: Stamp::default(),
        });
        Input { files: files.collect(), ..Input::default() }
    }
}

/// The parts of an address's path as they are meant.
fn parts(url: &Url) -> Vec<String> {
    let parts = url.path().split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into())
        .collect()
}

/// Refuses what is no address of a file that everybody may ask for.
fn check(text: &str) -> Result<Url, Failure> {
    let refuse = |why: &str| {
        let shown = super::super::passkeys::without_passkey(text, 0);
        Err(Failure::new(USAGE, format!("'{shown}' {why}")))
    };
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => return refuse("is no address like https://host/path"),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("has a user or a password in it, which the torrent would tell everybody");
    }
    if url.fragment().is_some() {
        return refuse("has a # in it, behind which servers are asked for nothing");
    }
    if url.path().ends_with('/') {
        return refuse("is a folder; give the address of each file in it");
    }
    Ok(url)
}

/// Reads everything once and hashes it as it comes.
fn build(
    options: CreateOptions,
    plan: &Plan,
    found: &[Found],
    reader: &Reader<'_>,
    quiet: bool,
) -> Result<Vec<u8>, Option<Failure>> {
    let usage = |error: CreateError| Some(Failure::new(USAGE, error.to_string()));
    let input = plan.input(found).files.into_iter().map(|input| input.file).collect();
    let total = found.iter().map(|found| found.length).sum();
    let mut progress = HashingProgress::new(&plan.name, total, quiet);
    let mut hasher = Hasher::new(Creator::new(options, input).map_err(usage)?);
    // Files of the layout without padding come in the order of their paths, as those of the plan.
    let mut files = plan.files.iter().zip(found);
    let layout = hasher.creator.layout().clone();
    for (number, entry) in layout.files().iter().enumerate() {
        if entry.attributes.pad {
            hasher.pad(entry.length);
            continue;
        }
        let Some(((_, url), found)) = files.next() else { break };
        reader.read(url, *found, |bytes| {
            hasher.take(bytes);
            progress.add(bytes.len() as u64);
        })?;
        hasher.end_file(number as u32);
    }
    drop(progress);
    hasher.creator.finish().map_err(usage)
}

/// Hashes content that comes in order, for both kinds of torrents.
struct Hasher {
    creator: Creator,
    v1: bool,
    v2: bool,
    piece: u32,
    piece_hash: Sha1,
    in_piece: u32,
    /// Blocks of the file so far, and how much there is of the next.
    blocks: Vec<Sha256Hash>,
    block_hash: Sha256,
    in_block: u32,
    run_length: usize,
}

impl Hasher {
    fn new(creator: Creator) -> Self {
        let v1 = creator.needs().any(|need| matches!(need, CreateNeed::Piece { .. }));
        let v2 = creator.needs().any(|need| matches!(need, CreateNeed::Blocks { .. }));
        let run_length = (creator.geometry().piece_length() / BLOCK_LENGTH) as usize;
        Self {
            creator,
            v1,
            v2,
            piece: 0,
            piece_hash: Sha1::new(),
            in_piece: 0,
            blocks: Vec::new(),
            block_hash: Sha256::new(),
            in_block: 0,
            run_length,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.take_for_pieces(bytes);
        let mut rest = bytes;
        while self.v2 && !rest.is_empty() {
            let (part, behind) =
                rest.split_at(rest.len().min((BLOCK_LENGTH - self.in_block) as usize));
            self.block_hash.update(part);
            self.in_block += part.len() as u32;
            rest = behind;
            self.end_block_if(self.in_block == BLOCK_LENGTH);
        }
    }

    fn take_for_pieces(&mut self, mut rest: &[u8]) {
        let geometry = self.creator.geometry();
        while self.v1 && !rest.is_empty() && self.piece < geometry.pieces() {
            let left = geometry.piece_size(self.piece) - self.in_piece;
            let (part, behind) = rest.split_at(rest.len().min(left as usize));
            self.piece_hash.update(part);
            self.in_piece += part.len() as u32;
            rest = behind;
            if part.len() as u32 == left {
                let hash = self.piece_hash.finalize_reset();
                self.creator.provide_piece(self.piece, Sha1Hash(hash.into()));
                self.piece += 1;
                self.in_piece = 0;
            }
        }
    }

    /// Padding is zeros, and no part of any file.
    fn pad(&mut self, mut length: u64) {
        const ZEROS: [u8; BLOCK_LENGTH as usize] = [0; BLOCK_LENGTH as usize];
        while length > 0 {
            let count = length.min(ZEROS.len() as u64);
            self.take_for_pieces(&ZEROS[..count as usize]);
            length -= count;
        }
    }

    fn end_block_if(&mut self, ended: bool) {
        if ended {
            self.blocks.push(Sha256Hash(self.block_hash.finalize_reset().into()));
            self.in_block = 0;
        }
    }

    fn end_file(&mut self, file: u32) {
        self.end_block_if(self.in_block > 0);
        let blocks = std::mem::take(&mut self.blocks);
        for (run, hashes) in blocks.chunks(self.run_length.max(1)).enumerate() {
            let offset = (run * self.run_length) as u64 * u64::from(BLOCK_LENGTH);
            self.creator.provide_blocks(file, offset, hashes.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what addresses stand for.

    use super::*;

    fn plan(urls: &[&str], name: Option<&str>) -> Result<Plan, Failure> {
        Plan::of(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>(), name)
    }

    #[test]
    fn one_file_is_found_at_its_address_whatever_the_torrent_is_called() {
        let url = "https://m.example/d/a%20b.iso?token=1";
        let made = plan(&[url], None).unwrap();
        assert_eq!((made.name.as_str(), made.web_seed.as_str()), ("a b.iso", url));
        assert_eq!(plan(&[url], Some("other")).unwrap().name, "other");
    }

    #[test]
    fn several_files_are_found_under_the_name_of_their_folder() {
        let urls = ["http://m.example/x/My%20Disc/b", "http://m.example/x/My%20Disc/a"];
        let made = plan(&urls, None).unwrap();
        assert_eq!(
            (made.name.as_str(), made.web_seed.as_str()),
            ("My Disc", "http://m.example/x/")
        );
        let paths: Vec<_> = made.files.iter().map(|(path, _)| path.join("/")).collect();
        assert_eq!(paths, ["a", "b"]);
        assert_eq!(plan(&["http://h/d/a", "http://h/d/b"], None).unwrap().web_seed, "http://h/");
        assert!(plan(&urls, Some("other")).is_err());
        for other in [
            "http://m.example/x/b",
            "http://n.example/x/My%20Disc/b",
            "http://m.example/x/My%20Disc/c?d",
        ] {
            assert!(plan(&[urls[0], other], None).is_err(), "{other}");
        }
        assert!(plan(&["http://m.example/a", "http://m.example/b"], None).is_err());
    }

    #[test]
    fn what_is_no_file_for_everybody_is_refused() {
        for url in [
            "ftp://h/a",
            "/a/b",
            "http:///a",
            "http://h/",
            "http://h",
            "http://h/d/",
            "http://u:p@h/a",
            "http://h/a#b",
            "http://h/%2E",
            "http://h/a%2Fb",
            "http://h/%0A",
        ] {
            assert_eq!(plan(&[url], None).unwrap_err().code, USAGE, "{url}");
        }
        let told = plan(&["http://u:geheim@h/a"], None).unwrap_err().message;
        assert!(!told.contains("geheim"), "{told}");
    }
}
