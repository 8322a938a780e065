//! What is wanted of a torrent, in bytes of its files: progress counts these, and neither padding nor
//! what shares a piece with a wanted file.

use eddyline::Priority;
use eddyline::base::bits::Bits;
use eddyline::metainfo::{Geometry, Metainfo, Source};

/// The bytes of the selected files.
#[derive(Clone, Debug)]
pub struct Selected {
    geometry: Geometry,
    /// Where they lie: begin and end, in order, none touching the next.
    runs: Vec<(u64, u64)>,
    files: u32,
}

impl Selected {
    /// Nothing: files are not known yet.
    #[must_use]
    pub fn nothing() -> Self {
        Self { geometry: Geometry::EMPTY, runs: Vec::new(), files: 0 }
    }

    /// What is wanted by priority, where the files are known; else nothing.
    pub(crate) fn of_source(source: &Source, priorities: &[Priority]) -> Self {
        let known = source.metainfo();
        known.map_or_else(Self::nothing, |metainfo| Self::by_priority(metainfo, priorities))
    }

    /// The files without those of these numbers.
    #[must_use]
    pub fn without(metainfo: &Metainfo, skipped: &[u32]) -> Self {
        Self::of(metainfo, |file| !skipped.contains(&file))
    }

    /// The files that have a priority; all where none are given.
    #[must_use]
    pub fn by_priority(metainfo: &Metainfo, priorities: &[Priority]) -> Self {
        Self::of(metainfo, |file| priorities.get(file as usize) != Some(&Priority::Skip))
    }

    fn of(metainfo: &Metainfo, wanted: impl Fn(u32) -> bool) -> Self {
        let (mut runs, mut count) = (Vec::<(u64, u64)>::new(), 0);
        for (number, file) in metainfo.layout().files().iter().enumerate() {
            if file.attributes.pad || !wanted(number as u32) {
                continue;
            }
            count += 1;
            let (begin, end) = (file.offset, file.offset + file.length);
            match runs.last_mut() {
                _ if begin == end => {}
                Some((_, last)) if *last == begin => *last = end,
                _ => runs.push((begin, end)),
            }
        }
        Self { geometry: metainfo.geometry(), runs, files: count }
    }

    /// How many files.
    #[must_use]
    pub fn files(&self) -> u32 {
        self.files
    }

    /// All bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.runs.iter().map(|(begin, end)| end - begin).sum()
    }

    /// Bytes that lie in these pieces.
    #[must_use]
    pub fn done(&self, have: &Bits) -> u64 {
        if have.is_full() {
            return self.length();
        }
        if have.len() != self.geometry.pieces() {
            return 0;
        }
        let mut done = 0;
        for (begin, end) in &self.runs {
            for piece in self.geometry.pieces_of(*begin, end - begin) {
                if have.has(piece) {
                    let start = self.geometry.piece_offset(piece);
                    let stop = start + u64::from(self.geometry.piece_size(piece));
                    done += stop.min(*end) - start.max(*begin);
                }
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is selected.

    use super::*;
    use eddyline::metainfo::{CreateNeed, CreateOptions, Creator, InputFile};

    fn metainfo(lengths: &[u64]) -> Metainfo {
        let options =
            CreateOptions { name: "t".into(), piece_length: 16384, ..CreateOptions::default() };
        let file = |(number, length): (usize, &u64)| InputFile {
            path: vec![format!("{number}")],
            length: *length,
            executable: false,
        };
        let files = lengths.iter().enumerate().map(file).collect();
        let mut creator = Creator::new(options, files).unwrap();
        for need in creator.needs().collect::<Vec<_>>() {
            if let CreateNeed::Piece { index } = need {
                creator.provide_piece(index, eddyline::base::hash::Sha1Hash([0; 20]));
            }
        }
        Metainfo::parse(&creator.finish().unwrap()).unwrap()
    }

    #[test]
    fn lengths_are_those_of_the_files_and_not_of_their_pieces() {
        let metainfo = metainfo(&[10, 40_000, 0, 7]);
        let all = Selected::without(&metainfo, &[]);
        assert_eq!((all.length(), all.files()), (40_017, 4));
        let some = Selected::without(&metainfo, &[1]);
        assert_eq!((some.length(), some.files()), (17, 3));
        let mut have = Bits::new(3);
        assert_eq!(some.done(&have), 0);
        have.set(0);
        assert_eq!((all.done(&have), some.done(&have)), (16_384, 10));
        have.set(2);
        assert_eq!(some.done(&have), 17);
        let none = Selected::by_priority(&metainfo, &[Priority::Skip; 4]);
        assert_eq!((none.length(), none.done(&Bits::full(3))), (0, 0));
    }
}
