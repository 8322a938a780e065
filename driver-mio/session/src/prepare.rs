//! How a torrent is added: what its source and the options say, put together.

use eddyline::AddTorrent;
use eddyline::metainfo::Source;
use eddyline_mio::dns::Names;

use crate::item::AddOptions;
use crate::session::resolve;
use crate::trouble::AddError;

/// A torrent as its source and the options say.
pub(crate) fn prepare(
    source: Source,
    options: AddOptions,
    names: &Names,
) -> Result<AddTorrent, AddError> {
    let mut add = match source {
        Source::Torrent(metainfo) => AddTorrent::new(metainfo),
        Source::Magnet(magnet) => {
            let mut add = AddTorrent::new(Source::Magnet(magnet.clone()));
            // A peer that is named in passing may well be gone.
            let found = magnet.named_peers.iter().filter_map(|peer| resolve(peer, names).ok());
            add.peers.extend(found.flatten());
            add
        }
    };
    if add.source.info_hashes().v1.is_none() {
        return Err(AddError::V2Only(add.source.name().into_owned()));
    }
    add.priorities = options.priorities;
    add.sequential = options.sequential;
    add.paused = options.paused;
    add.hold_metadata = options.hold;
    add.limits = options.limits;
    add.overwrite = options.overwrite;
    add.read_only = options.read_only;
    add.allocation = options.allocation;
    add.trackers = options.trackers;
    add.mirrors = options.mirrors;
    add.peers.extend(options.peers);
    Ok(add)
}
