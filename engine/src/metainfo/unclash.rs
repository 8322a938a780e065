//! Giving every file a name of its own: duplicates, names that differ only in case where a place
//! does not tell those apart, and files that stand where another file needs a folder.
//!
//! Names are kept in a tree, each folder once however many files are below it, so that memory and
//! work follow from the number of path components, not from the lengths of all paths together.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::files::Layout;
use super::names::{Naming, is_joiner};

/// Renames later files until no path equals another, or is a folder of another, as a place compares
/// names. Pad files are never created, so their names do not matter.
pub(super) fn unclash(layout: &mut Layout, naming: Naming) {
    let _ = unclash_counted(layout, naming);
}

/// As [`unclash`]; returns the tree that was built, which knows what it cost.
fn unclash_counted(layout: &mut Layout, naming: Naming) -> Tree {
    let mut tree = Tree { naming, ..Tree::default() };
    let folders = tree.add_folders(layout);
    // Where the search for a free suffix goes on, so that n duplicates cost n log n.
    let mut attempts: BTreeMap<u32, u32> = BTreeMap::new();
    let stored = layout.files_mut().iter_mut().filter(|file| !file.attributes.pad);
    for (file, folder) in stored.zip(folders) {
        let Some(name) = file.path.last_mut() else { continue };
        let wanted = tree.enter(folder, name);
        let (mut place, mut given) = (wanted, None);
        while tree.taken[place as usize] {
            let attempt = attempts.entry(wanted).or_default();
            *attempt += 1;
            let other = with_suffix(name, *attempt, naming.longest_with_suffix());
            place = tree.enter(folder, &other);
            given = Some(other);
        }
        tree.taken[place as usize] = true;
        if let Some(other) = given {
            *name = other;
        }
    }
    tree
}

/// Names by the number of the folder that they are in, those that are one name under one number.
#[derive(Default)]
struct Tree {
    naming: Naming,
    numbers: BTreeMap<(u32, Box<str>), u32>,
    /// Whether a name is that of a folder, or has been given to a file.
    taken: Vec<bool>,
    /// Look-ups made so far: what the work is proportional to.
    lookups: u64,
}

/// The number of the download folder itself.
const ROOT: u32 = u32::MAX;

impl Tree {
    /// The number of a name in a folder.
    fn enter(&mut self, folder: u32, name: &str) -> u32 {
        self.lookups += 1;
        let next = self.taken.len() as u32;
        let key = (folder, self.naming.folded(name));
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.taken.push(false);
        }
        number
    }

    /// Enters all folders; returns that of each file that is no padding. Folders that a file shares
    /// with the one before it are not looked up again.
    fn add_folders(&mut self, layout: &Layout) -> Vec<u32> {
        let mut before: &[String] = &[];
        let mut way: Vec<u32> = Vec::new();
        let mut folders = Vec::new();
        for file in layout.files().iter().filter(|file| !file.attributes.pad) {
            let path = &file.path[..file.path.len().saturating_sub(1)];
            let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
            way.truncate(shared);
            for part in &path[shared..] {
                let number = self.enter(way.last().copied().unwrap_or(ROOT), part);
                self.taken[number as usize] = true;
                way.push(number);
            }
            folders.push(way.last().copied().unwrap_or(ROOT));
            before = path;
        }
        folders
    }
}

/// A name that differs from another one by a number, and that a place can hold if it can hold that one.
pub(crate) fn name_beside(name: &str, attempt: u32, naming: Naming) -> String {
    let longest = usize::from(naming.longest);
    let beside = with_suffix(name, attempt, longest);
    if beside.len() <= longest {
        return beside;
    }
    // What follows the last dot is most of it: then the number is at the end.
    let number = format!(".{attempt}");
    let mut cut = name.len().min(longest.saturating_sub(number.len()));
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{number}", name[..cut].trim_end_matches(is_joiner))
}

/// `name.ext` becomes `name.1.ext`.
fn with_suffix(name: &str, attempt: u32, longest: usize) -> String {
    let dot = name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
    let (mut stem, extension) = (&name[..dot], &name[dot..]);
    let suffix = format!(".{attempt}");
    while !stem.is_empty() && stem.len() + suffix.len() + extension.len() > longest {
        let mut cut = stem.len() - 1;
        while !stem.is_char_boundary(cut) {
            cut -= 1;
        }
        stem = stem[..cut].trim_end_matches(is_joiner);
    }
    format!("{stem}{suffix}{extension}")
}

#[cfg(test)]
mod tests {
    //! Unit tests of names that clash, and of what finding them costs.

    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::metainfo::{FileAttributes, FileEntry};

    fn layout(paths: impl Iterator<Item = Vec<String>>) -> Layout {
        let file = |path| FileEntry {
            path,
            length: 1,
            offset: 0,
            attributes: FileAttributes::default(),
            symlink: None,
            pieces_root: None,
            own: None,
        };
        Layout::new(paths.map(file).collect()).unwrap()
    }

    fn names(paths: &[&str], naming: Naming) -> Vec<String> {
        let split = |path: &&str| path.split('/').map(ToString::to_string).collect();
        let mut layout = layout(paths.iter().map(split));
        unclash(&mut layout, naming);
        layout.files().iter().map(FileEntry::display_path).collect()
    }

    #[test]
    fn later_files_give_way() {
        let names = |paths: &[&str]| names(paths, Naming::PORTABLE);
        assert_eq!(names(&["n/a.b", "n/A.b", "n/a.b"]), ["n/a.b", "n/A.1.b", "n/a.2.b"]);
        assert_eq!(names(&["n/x", "n/x/y"]), ["n/x.1", "n/x/y"]);
        assert_eq!(names(&["n/X/a", "n/x", "n/x.1"]), ["n/X/a", "n/x.1", "n/x.1.1"]);
        assert_eq!(names(&["n/x.1", "n/x", "n/x"]), ["n/x.1", "n/x", "n/x.2"]);
    }

    #[test]
    fn names_that_differ_in_case_are_two_where_a_place_tells_them_apart() {
        let names = |paths: &[&str]| names(paths, Naming::POSIX);
        assert_eq!(names(&["n/a", "n/A", "N/a"]), ["n/a", "n/A", "N/a"]);
        assert_eq!(names(&["n/a", "n/a", "n/a/b"]), ["n/a.1", "n/a.2", "n/a/b"]);
        let long = alloc::format!("n/{}.mkv", "x".repeat(251));
        let twin = &names(&[&long, &long])[1];
        assert!(twin.len() == "n/".len() + 255 && twin.ends_with("x.1.mkv"), "{twin}");
    }

    #[test]
    fn a_name_beside_another_is_no_longer_than_a_place_allows() {
        for name in ["a".repeat(255), "a.".to_string() + &"b".repeat(253), ".".repeat(255)] {
            let beside = name_beside(&name, 7, Naming::POSIX);
            assert!(beside.len() <= 255 && beside != name && beside.contains(".7"), "{beside}");
        }
        assert_eq!(name_beside("b.txt", 1, Naming::POSIX), "b.1.txt");
    }

    /// What `count` files cost in folders a hundred deep that differ from the top, as an attacker
    /// writes them, with every second name taken already.
    fn cost(count: usize) -> (u64, usize) {
        let path = |number: usize| {
            let top = alloc::format!("{:x}", number / 2);
            core::iter::once(top).chain(vec!["a".to_string(); 99]).collect()
        };
        let mut layout = layout((0..count).map(path));
        let tree = unclash_counted(&mut layout, Naming::PORTABLE);
        (tree.lookups, tree.taken.len())
    }

    #[test]
    fn twice_the_paths_cost_twice_the_work_and_the_memory() {
        let ((work, nodes), (twice, twice_nodes)) = (cost(1000), cost(2000));
        assert!(work <= 1000 * 101 && nodes <= 1000 * 101, "{work} look-ups, {nodes} names");
        assert!(twice <= 2 * work + 16 && twice_nodes <= 2 * nodes + 16);
    }

    #[test]
    fn folders_that_files_share_are_looked_up_once() {
        let deep = |number: usize| {
            vec!["a".to_string(); 99].into_iter().chain([alloc::format!("{number}")]).collect()
        };
        let mut layout = layout((0..1000).map(deep));
        let tree = unclash_counted(&mut layout, Naming::PORTABLE);
        assert_eq!((tree.lookups, tree.taken.len()), (1099, 1099));
    }

    #[test]
    fn many_files_of_one_name_cost_a_few_look_ups_each() {
        let mut layout = layout((0..4000).map(|_| vec!["n".to_string(), "a".to_string()]));
        assert!(unclash_counted(&mut layout, Naming::PORTABLE).lookups <= 3 * 4000);
    }
}
