//! What a magnet led to in an earlier run: a download that is started again needs nobody to tell it.

use std::sync::Arc;

use eddyline::Priority;
use eddyline::metainfo::{Magnet, Metainfo};
use eddyline_disk::resume_store::ResumeStore;
use eddyline_session::{AddOptions, Item, Source, resolve};

use super::session::Session;

/// Keeps what a magnet has led to beside its resume data. Where it cannot be kept, peers are asked again.
pub fn remember(store: &ResumeStore, item: &Item) {
    if let Some(metainfo) = item.metainfo() {
        let _ = store.store_torrent(item.hash(), &metainfo.encode());
    }
}

/// What an earlier run found a magnet to lead to, where it has left anything of the torrent; and what else the
/// magnet says: peers, trackers beyond those that are known, and which files are wanted.
pub fn remembered(session: &Session, source: &Source) -> Option<(Arc<Metainfo>, AddOptions)> {
    let Source::Magnet(magnet) = source else { return None };
    let metainfo = led_to(session.store()?, magnet)?;
    let trackers = new_trackers(magnet, &metainfo);
    let named = magnet.named_peers.iter().filter_map(|peer| resolve(peer, session.names()).ok());
    let peers = magnet.peers.iter().copied().chain(named.flatten()).collect();
    let priorities = selected(magnet, metainfo.layout().files().len() as u32);
    let options = AddOptions { trackers, peers, priorities, ..AddOptions::default() };
    Some((metainfo.into(), options))
}

/// What an earlier run found a magnet to lead to, with the trackers of both; and which files the magnet wants.
pub fn remembered_torrent(
    store: &ResumeStore,
    magnet: &Magnet,
) -> Option<(Metainfo, Vec<Priority>)> {
    let metainfo = led_to(store, magnet)?;
    let more = new_trackers(magnet, &metainfo).into_iter().map(|url| vec![url]);
    let tiers = metainfo.trackers().iter().cloned().chain(more).collect();
    let priorities = selected(magnet, metainfo.layout().files().len() as u32);
    Some((metainfo.with_trackers(tiers), priorities))
}

fn led_to(store: &ResumeStore, magnet: &Magnet) -> Option<Metainfo> {
    let hash = magnet.v1?;
    let metainfo = Metainfo::parse(&store.load_torrent(hash)?).ok()?;
    (metainfo.info_hashes().v1 == Some(hash) && is_same(magnet, &metainfo)).then_some(metainfo)
}

/// Trackers that a magnet names and its torrent does not.
fn new_trackers(magnet: &Magnet, metainfo: &Metainfo) -> Vec<String> {
    let known = |url: &&String| !metainfo.trackers().iter().flatten().any(|other| other == *url);
    magnet.trackers.iter().filter(known).cloned().collect()
}

/// Whether a magnet that has a v2 hash beside the other means this torrent by both.
fn is_same(magnet: &Magnet, metainfo: &Metainfo) -> bool {
    magnet.v2.is_none_or(|v2| metainfo.info_hashes().v2 == Some(v2))
}

/// What a magnet wants of this many files; all where it names none that there is.
fn selected(magnet: &Magnet, files: u32) -> Vec<Priority> {
    let named = |file: &u32| magnet.select_only.as_ref().is_some_and(|list| list.contains(file));
    if !(0..files).any(|file| named(&file)) {
        return Vec::new();
    }
    let of = |file| if named(&file) { Priority::Normal } else { Priority::Skip };
    (0..files).map(of).collect()
}
