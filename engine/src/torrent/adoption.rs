//! What was there before: data of this torrent is adopted, what is something else is not touched.

use super::Torrent;
use crate::metainfo::FileEntry;

impl Torrent {
    /// After a check without resume data: the first file that was there before and is something
    /// else. One piece of it that is good shows that it belongs to the torrent.
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
        let geometry = self.metainfo.geometry;
        let mut pieces = geometry.pieces_of(file.offset, length);
        if pieces.any(|piece| self.picker.have().has(piece)) {
            return true;
        }
        // Of a file in which no piece lies whole nothing can be said; its length has to do.
        let end = file.offset + file.length;
        let whole = geometry.pieces_of(file.offset, file.length).any(|piece| {
            let start = geometry.piece_offset(piece);
            start >= file.offset && start + u64::from(geometry.piece_size(piece)) <= end
        });
        length == file.length && !whole
    }
}
