//! What was there before: data of this torrent is adopted, what is something else is not touched.

use super::Torrent;
use crate::metainfo::FileEntry;

impl Torrent {
    /// After a check without resume data: the first file that was there before and of which nothing
    /// shows that it belongs to the torrent. Only a hash does: one good piece that has bytes of it. Its
    /// length says nothing, and a file in which no piece lies whole is no exception.
    pub(super) fn foreign_file(&self) -> Option<u32> {
        let all = self.metainfo.layout.files().iter().zip(self.doubt.files()).enumerate();
        all.filter(|(_, (file, _))| file.is_stored())
            .find(|(_, (file, status))| {
                let length = status.length.unwrap_or(0);
                length > 0 && !self.is_ours(file, length)
            })
            .map(|(index, _)| index as u32)
    }

    fn is_ours(&self, file: &FileEntry, length: u64) -> bool {
        let mut pieces = self.metainfo.geometry.pieces_of(file.offset, length.min(file.length));
        pieces.any(|piece| self.picker.have().has(piece))
    }
}
