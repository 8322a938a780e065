//! Where a torrent is read from.

use std::path::Path;

use eddyline::metainfo::{Metainfo, Source};
use eddyline_disk::private;

/// Longest `.torrent` that is read. A film that is named by mistake is not read whole.
pub const MAX_TORRENT: u64 = 64 << 20;

/// Reads a `.torrent` file.
///
/// # Errors
/// Whatever the system says; `FileTooLarge` for more than [`MAX_TORRENT`] bytes; `InvalidData` with a
/// [`MetainfoError`](eddyline::metainfo::MetainfoError) for what is no torrent.
pub fn read_torrent(path: impl AsRef<Path>) -> std::io::Result<Source> {
    let bytes = private::read(path.as_ref(), MAX_TORRENT)?;
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    Metainfo::parse(&bytes).map(Source::from).map_err(invalid)
}
