//! What stands under the names of a torrent's files now: whether anything is in it, and whether that is what is open.

use eddyline::FileStatus;

use super::filesystem::Access;
use super::operations::{Arranged, TorrentFiles};

impl TorrentFiles {
    /// Says of files with a length whether that is all that they have. Only what nothing is on record of is looked
    /// at so closely: it has to be known whether there is anything in it that could be lost.
    pub(super) fn mark_holes(&self, arranged: &Arranged, all: &mut [FileStatus]) {
        for (index, status) in (0u32..).zip(all) {
            if status.length.is_none_or(|length| length == 0) {
                continue;
            }
            let file = arranged.fs.open(arranged.path(index, self.entry(index)), Access::Read);
            if file.is_ok_and(|file| file.is_hole()) {
                status.modified = FileStatus::HOLE;
            }
        }
    }

    /// A file that was removed or replaced is read and written on as long as it is open: what stands under its name
    /// now is what counts.
    pub(super) fn close_if_gone(&self, arranged: &Arranged, index: u32) {
        for write in [false, true] {
            let Some(file) = self.cache.get_open((self.id, index, write)) else { continue };
            let named = arranged.fs.find(arranged.path(index, self.entry(index)));
            let (Ok(named), Ok(open)) = (named, file.found()) else { continue };
            let same = named.is_some_and(|named| named.identity == open.identity);
            if !same {
                self.cache.close_file((self.id, index, write));
            }
        }
    }
}
