//! Commands of a redacted trace. Each kind is named and each field of what holds names is: a new one
//! does not compile before somebody has said what it may tell.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::redact::status;
use super::stand_ins::StandIns;
use crate::api::{AddTorrent, Command, Rename, Renamed, TorrentCommand};
use crate::resume::ResumeData;

pub(super) fn rewrite(names: &mut StandIns, command: &Command) -> Command {
    match command {
        Command::Add(add) => add_torrent(names, add).into(),
        Command::Torrent(torrent, command) => torrent_command(names, command).of(*torrent),
        #[cfg(feature = "dht")]
        Command::RestoreDht(state) => {
            Command::RestoreDht(Box::new(super::dht_commands::state(names, state)))
        }
        #[cfg(feature = "dht")]
        Command::Dht(request) => {
            Command::Dht(Box::new(super::dht_commands::request(names, request)))
        }
        #[cfg(not(feature = "dht"))]
        Command::RestoreDht(state) => match **state {},
        #[cfg(not(feature = "dht"))]
        Command::Dht(request) => match **request {},
        Command::StandBy { info_hash, announce } => {
            Command::StandBy { info_hash: names.info_hash(*info_hash), announce: *announce }
        }
        Command::Forget(info_hash) => Command::Forget(names.info_hash(*info_hash)),
        Command::SetFilter(filter) => Command::SetFilter(names.filter(filter).into()),
        // Numbers and switches.
        Command::SetLimits(..)
        | Command::ListenOn { .. }
        | Command::ListenLocally { .. }
        | Command::ShutDown => command.clone(),
    }
}

fn torrent_command(names: &mut StandIns, command: &TorrentCommand) -> TorrentCommand {
    match command {
        TorrentCommand::AddPeers { peers, source } => {
            TorrentCommand::AddPeers { peers: addrs(names, peers), source: *source }
        }
        TorrentCommand::Move(to) => TorrentCommand::Move(names.place(*to)),
        TorrentCommand::Rename(Rename::Torrent(name)) => {
            TorrentCommand::Rename(Rename::Torrent(names.name(name)))
        }
        TorrentCommand::Rename(Rename::File(file, path)) => {
            let path: Vec<String> = path.split('/').map(|part| names.name(part)).collect();
            TorrentCommand::Rename(Rename::File(*file, path.join("/")))
        }
        // Numbers and switches.
        TorrentCommand::Remove
        | TorrentCommand::RemoveWithData
        | TorrentCommand::Pause
        | TorrentCommand::Resume
        | TorrentCommand::Recheck
        | TorrentCommand::Announce
        | TorrentCommand::SetPriorities(_)
        | TorrentCommand::SetSequential(_)
        | TorrentCommand::SetReader { .. }
        | TorrentCommand::Read { .. }
        | TorrentCommand::SetLimits(_)
        | TorrentCommand::SaveResume => command.clone(),
    }
}

fn addrs(names: &StandIns, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    addrs.iter().map(|addr| names.addr(*addr)).collect()
}

fn urls(names: &mut StandIns, urls: &[String]) -> Vec<String> {
    urls.iter().map(|url| names.url(url)).collect()
}

fn add_torrent(names: &mut StandIns, add: &AddTorrent) -> AddTorrent {
    let AddTorrent {
        source,
        resume,
        paused,
        sequential,
        priorities,
        peers,
        trackers,
        mirrors,
        limits,
        select,
        hold_metadata,
        location,
        allocation,
        overwrite,
        naming,
        read_only,
    } = add;
    AddTorrent {
        source: source.masked(names),
        resume: resume.as_ref().map(|resume| Box::new(resume_data(names, resume))),
        paused: *paused,
        sequential: *sequential,
        priorities: priorities.clone(),
        peers: addrs(names, peers),
        trackers: urls(names, trackers),
        mirrors: urls(names, mirrors),
        limits: *limits,
        select: select.clone(),
        hold_metadata: *hold_metadata,
        location: names.place(*location),
        allocation: *allocation,
        overwrite: *overwrite,
        naming: *naming,
        read_only: *read_only,
    }
}

fn resume_data(names: &mut StandIns, original: &ResumeData) -> ResumeData {
    let ResumeData {
        info_hash,
        have,
        partial,
        files,
        downloaded,
        uploaded,
        completed,
        peers,
        clean,
        location,
        renamed,
        left_at,
        trackers,
    } = original;
    let mut path = |parts: &[String]| parts.iter().map(|part| names.name(part)).collect();
    let renamed = renamed
        .iter()
        .map(|(file, Renamed { from, to })| (*file, Renamed { from: path(from), to: path(to) }))
        .collect();
    ResumeData {
        info_hash: names.info_hash(*info_hash),
        have: have.clone(),
        partial: partial.clone(),
        files: files.iter().map(|file| status(names, *file)).collect(),
        downloaded: *downloaded,
        uploaded: *uploaded,
        completed: *completed,
        peers: addrs(names, peers),
        clean: *clean,
        location: names.place(*location),
        renamed,
        left_at: left_at.iter().map(|place| names.place(*place)).collect(),
        trackers: trackers
            .iter()
            .map(|(url, id)| (names.url(url), id.as_ref().map(|id| alloc::vec![b'x'; id.len()])))
            .collect(),
    }
}
