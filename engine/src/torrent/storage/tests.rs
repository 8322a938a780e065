//! Unit tests of the machines that look at files: what is believed, what has to show whose it is, what
//! is in doubt.

mod machine;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::adoption::{Before, Found, Verdict};
use super::record::Belief;
use super::record::pieces_on_disk;
use super::{Adoption, Arrangement, Doubt, Record};
use crate::api::{Allocation, FileStatus, LocationId, Renamed, TorrentError};
use crate::base::bits::Bits;
use crate::metainfo::{Metainfo, Naming};
use crate::resume::ResumeData;

/// Pieces 0 to 3: of the first file 0 and 1, of the second 1 to 3.
fn metainfo() -> Metainfo {
    torrent(&[("a", 24_576), ("b", 40_960)])
}

fn torrent(files: &[(&str, u32)]) -> Metainfo {
    let file =
        |(name, length): &(&str, u32)| alloc::format!("d6:lengthi{length}e4:pathl1:{name}ee");
    let files: String = files.iter().map(file).collect();
    let hashes = "h".repeat(80);
    let info =
        alloc::format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces80:{hashes}e");
    Metainfo::parse_info(info.as_bytes()).expect("a torrent")
}

fn file(length: u64) -> FileStatus {
    FileStatus { length: Some(length), modified: 7 }
}

fn whole() -> [FileStatus; 2] {
    [file(24_576), file(40_960)]
}

fn bits(pieces: &[u32]) -> Bits {
    let mut bits = Bits::new(4);
    pieces.iter().for_each(|piece| assert!(bits.set(*piece)));
    bits
}

fn resume(have: &[u32], clean: bool) -> ResumeData {
    ResumeData {
        info_hash: metainfo().info_hashes().wire(),
        have: bits(have),
        partial: Vec::new(),
        files: whole().into(),
        downloaded: 0,
        uploaded: 0,
        completed: false,
        peers: Vec::new(),
        clean,
        location: LocationId(1),
        renamed: Default::default(),
        left_at: Vec::new(),
        trackers: Vec::new(),
    }
}

fn believed(resume: &ResumeData, files: &[FileStatus]) -> Belief {
    Record::default().believe(resume, &metainfo(), files)
}

#[test]
fn what_is_on_record_is_believed_of_files_that_are_as_they_were() {
    let belief = believed(&resume(&[0, 2], true), &whole());
    assert_eq!((belief.good, belief.check), ([0, 2].into(), BTreeSet::new()));
    // The second was changed after a clean end: all that lies in it is looked at.
    let changed = [whole()[0], FileStatus { modified: 8, ..whole()[1] }];
    let belief = believed(&resume(&[0, 2], true), &changed);
    assert_eq!((belief.good, belief.check), ([0].into(), [1, 2, 3].into()));
    assert!(belief.when_idle.is_empty());
    // After a crash we may have written to it: what was claimed is believed, and looked at later.
    let belief = believed(&resume(&[0, 2], false), &changed);
    assert_eq!((belief.good, belief.check), ([0, 2].into(), [1, 3].into()));
    assert_eq!(belief.when_idle, [2].into());
    // What was cut off is gone, whatever the record says.
    let cut = [whole()[0], file(10_000)];
    let belief = believed(&resume(&[0, 2, 3], false), &cut);
    assert_eq!((belief.good, belief.check), ([0].into(), [1, 2].into()), "nothing is where 3 was");
}

#[test]
fn a_record_counts_for_its_torrent_and_claims_files_at_its_place_only() {
    let metainfo = metainfo();
    let mut record = Record::new(Some(resume(&[0], true).into()));
    assert!(record.about(&metainfo).is_some());
    for (place, unclaimed) in [(LocationId(1), false), (LocationId(2), true)] {
        record.opened(&metainfo, place);
        assert_eq!(record.is_unclaimed(), unclaimed);
    }
    assert!(record.claim() && !record.claim());
    let other = ResumeData { files: whole()[..1].into(), ..resume(&[0], true) };
    assert!(Record::new(Some(other.into())).about(&metainfo).is_none());
    record.accept();
    assert!(record.about(&metainfo).is_none());
}

#[test]
fn names_that_one_place_needed_stay_there_and_those_of_the_user_do_not() {
    let file = |name: &str| alloc::format!("d6:lengthi1e4:pathl{}:{name}ee", name.len());
    let files = [file("a?"), file("b"), file("B"), file("c"), file("d")].concat();
    let hash = "h".repeat(20);
    let info = alloc::format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
    let metainfo = Metainfo::parse_info(info.as_bytes()).expect("a torrent");
    let named = |to: &str| {
        let path = alloc::vec!["n".into(), to.into()];
        Renamed { from: path.clone(), to: path }
    };
    let mut record = resume(&[], true);
    let portable = metainfo.layout().names_for(Naming::PORTABLE);
    assert_eq!(portable.keys().copied().collect::<Vec<_>>(), [0, 2]);
    let fitted =
        portable.iter().map(|(file, to)| (*file, Renamed { from: to.clone(), to: to.clone() }));
    record.renamed = fitted.chain([(3, named("mine")), (4, named("d"))]).collect();
    let names_at = |place| {
        let mut arrangement =
            Arrangement::new(LocationId(place), Allocation::default(), Naming::POSIX, false);
        arrangement.restore(&record, metainfo.layout());
        arrangement.fit_names(metainfo.layout());
        arrangement.placement.renamed.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names_at(1), [0, 2, 3, 4], "where it was");
    assert_eq!(names_at(2), [3], "elsewhere");
}

#[test]
fn pieces_of_what_is_there_may_be_on_disk_and_the_edges_of_what_a_part_file_holds() {
    let metainfo = metainfo();
    let missing = FileStatus { length: None, modified: 0 };
    let in_part_file = FileStatus { length: None, modified: 3 };
    assert!(pieces_on_disk(&metainfo, &[missing, missing]).is_empty());
    assert_eq!(pieces_on_disk(&metainfo, &[file(1), missing]), [0].into());
    assert_eq!(pieces_on_disk(&metainfo, &[missing, in_part_file]), [1, 3].into());
}

/// What is decided about files of which `have` is good.
fn verdict(
    adoption: &mut Adoption,
    have: &[u32],
    files: &[FileStatus],
    read_only: bool,
) -> Verdict {
    let (metainfo, have, skipped) = (metainfo(), bits(have), &[]);
    adoption.decide(Found { metainfo: &metainfo, have: &have, files, skipped, read_only })
}

/// The same where the second file is not wanted.
fn verdict_without_second(have: &[u32], files: &[FileStatus], overwrite: bool) -> Verdict {
    let mut adoption = Adoption::new(overwrite);
    let (metainfo, have, skipped) = (metainfo(), bits(have), &[1]);
    let before = Before { files: &[files[0]], here: false, crashed: false };
    adoption.ask_for_proof(&metainfo, files, before);
    let read_only = false;
    adoption.decide(Found { metainfo: &metainfo, have: &have, files, skipped, read_only })
}

#[test]
fn of_what_nobody_wants_nothing_is_cut_or_written_over() {
    let long = FileStatus { length: whole()[1].length.map(|length| length + 9), modified: 1 };
    // It is the torrent's, too long, and shares a piece with what is wanted.
    assert_eq!(verdict_without_second(&[0, 1], &[whole()[0], long], false), Verdict::Ours);
    for overwrite in [false, true] {
        let foreign = verdict_without_second(&[0], &[whole()[0], long], overwrite);
        assert_eq!(foreign, Verdict::Apart([1].into()));
    }
    let nothing = FileStatus { length: None, modified: 0 };
    assert_eq!(verdict_without_second(&[0], &[whole()[0], nothing], false), Verdict::Ours);
}

#[test]
fn a_tail_is_cut_though_a_piece_is_shared_with_a_file_that_is_not_there() {
    let (long, nothing) = (file(30_000), FileStatus { length: None, modified: 0 });
    let cut = Verdict::Cut([0].into());
    assert_eq!(verdict_without_second(&[0], &[long, nothing], false), cut);
    let too_long = Verdict::InTheWay(TorrentError::TooLong(0));
    assert_eq!(
        verdict_without_second(&[0], &[long, whole()[1]], false),
        Verdict::Apart([1].into())
    );
    assert_eq!(verdict_without_second(&[0, 2], &[long, whole()[1]], false), too_long);
    assert_eq!(verdict_without_second(&[], &[long, nothing], false), too_long);
}

#[test]
fn what_is_fetched_beside_a_file_of_somebody_elses_has_a_name_that_nothing_of_the_torrent_has() {
    let file = |path: &str| alloc::format!("d6:lengthi1e4:pathl{path}ee");
    let files = ["3:a.b", "5:a.1.b", "5:A.2.B1:x", "1:c"].map(file).concat();
    let hash = "h".repeat(20);
    let info = alloc::format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{hash}e");
    let metainfo = Metainfo::parse_info(info.as_bytes()).expect("a torrent");
    let mut files = Arrangement::new(LocationId(1), Allocation::default(), Naming::POSIX, false);
    let mut apart = |file: u32| {
        files.name_apart(metainfo.layout(), &[file]);
        let path = files.path_now(metainfo.layout().files(), file).expect("a file");
        let names = &files.placement.renamed[&file];
        assert!(names.from == names.to && names.to == path);
        path.join("/")
    };
    assert_eq!(apart(0), "n/a.3.b", "one is a file, one is a folder where case is one");
    assert_eq!(apart(3), "n/c.1");
    assert_eq!(apart(3), "n/c.1.1", "where that is taken, too, by something else");
}

#[test]
fn a_file_without_a_good_piece_is_somebody_elses_unless_the_record_has_it_as_it_is() {
    let ask = |before: &[FileStatus], ours, overwrite| {
        let mut adoption = Adoption::new(overwrite);
        let before = Before { files: before, here: ours, crashed: ours };
        adoption.ask_for_proof(&metainfo(), &whole(), before);
        adoption
    };
    let foreign = |file| Verdict::InTheWay(TorrentError::Foreign(file));
    assert_eq!(verdict(&mut ask(&[], false, false), &[], &whole(), false), foreign(0));
    assert_eq!(verdict(&mut ask(&[], false, false), &[0], &whole(), false), foreign(1));
    assert_eq!(verdict(&mut ask(&[], false, false), &[1], &whole(), false), Verdict::Ours);
    assert_eq!(verdict(&mut ask(&whole(), false, false), &[], &whole(), false), Verdict::Ours);
    assert_eq!(verdict(&mut ask(&[], true, false), &[], &whole(), false), Verdict::Ours);
    assert_eq!(verdict(&mut ask(&[], false, true), &[], &whole(), false), Verdict::Ours);
    assert_eq!(verdict(&mut ask(&[], false, false), &[], &whole(), true), Verdict::Ours);
}

#[test]
fn a_file_that_is_nothing_but_a_hole_is_nobodys_and_cut_where_it_is_too_long() {
    let hole = |length: u64| FileStatus { length: Some(length), modified: FileStatus::HOLE };
    let ask = |first: FileStatus| {
        let (mut adoption, files) = (Adoption::new(false), [first, whole()[1]]);
        adoption.ask_for_proof(&metainfo(), &files, Before::default());
        verdict(&mut adoption, &[2], &files, false)
    };
    let length = whole()[0].length.unwrap();
    assert_eq!(ask(hole(length)), Verdict::Ours);
    assert_eq!(ask(hole(1)), Verdict::Ours);
    assert_eq!(ask(hole(length + 1)), Verdict::Cut([0].into()));
    let foreign = Verdict::InTheWay(TorrentError::Foreign(0));
    assert_eq!(ask(file(length)), foreign, "somebody has written zeros to it");
    assert_eq!(ask(file(length + 1)), foreign);
    let nothing = torrent(&[("a", 65_536), ("b", 0)]);
    let files = [file(65_536), hole(7)];
    let mut adoption = Adoption::new(false);
    adoption.ask_for_proof(&nothing, &files, Before::default());
    let (have, skipped) = (bits(&[0]), &[]);
    let found =
        |read_only| Found { metainfo: &nothing, have: &have, files: &files, skipped, read_only };
    let too_long = Verdict::InTheWay(TorrentError::TooLong(1));
    assert_eq!(adoption.decide(found(true)), too_long, "where nothing is written");
    assert_eq!(adoption.decide(found(false)), Verdict::Cut([1].into()), "also without bytes");
}

#[test]
fn a_file_that_is_too_long_is_cut_when_all_of_it_is_there_and_never_where_nothing_is_written() {
    let long = [file(30_000), whole()[1]];
    let mut adoption = Adoption::new(false);
    let too_long = Verdict::InTheWay(TorrentError::TooLong(0));
    assert_eq!(verdict(&mut adoption, &[0], &long, false), too_long);
    assert_eq!(verdict(&mut adoption, &[0, 1], &long, true), too_long);
    assert_eq!(verdict(&mut adoption, &[0, 1], &long, false), Verdict::Cut([0].into()));
    assert_eq!(verdict(&mut adoption, &[0, 1], &long, false), Verdict::Wait);
    assert_eq!(adoption.trimmed(), Some([0].into()));
    assert_eq!(verdict(&mut adoption, &[0, 1], &whole(), false), Verdict::Ours);
}

#[test]
fn what_came_into_a_file_without_bytes_is_cut_off_where_that_is_on_record_here_and_nowhere_else() {
    let metainfo = torrent(&[("a", 24_576), ("b", 40_960), ("c", 0)]);
    let (was, is) = ([&whole()[..], &[file(0)]].concat(), [&whole()[..], &[file(1)]].concat());
    let have = bits(&[0, 1, 2, 3]);
    let decide = |before, read_only| {
        let mut adoption = Adoption::new(false);
        adoption.ask_for_proof(&metainfo, &is, before);
        let (files, skipped) = (&is, &[]);
        adoption.decide(Found { metainfo: &metainfo, have: &have, files, skipped, read_only })
    };
    let here = Before { files: &was, here: true, crashed: false };
    assert_eq!(decide(here, false), Verdict::Cut([2].into()));
    let foreign = Verdict::InTheWay(TorrentError::Foreign(2));
    assert_eq!(decide(Before { here: false, ..here }, false), foreign);
    assert_eq!(decide(Before::default(), false), foreign);
    assert_eq!(decide(here, true), Verdict::InTheWay(TorrentError::TooLong(2)));
}

#[test]
fn a_file_that_changed_is_in_doubt_unless_we_wrote_to_it() {
    let (metainfo, have) = (metainfo(), bits(&[0, 1, 3]));
    let changed = [whole()[0], FileStatus { modified: 8, ..whole()[1] }];
    let again = [whole()[0], FileStatus { modified: 9, ..whole()[1] }];
    let mut doubt = Doubt::default();
    doubt.seen(&whole());
    assert!(doubt.compare(&metainfo, &have, &whole()).is_empty());
    let suspects = doubt.compare(&metainfo, &have, &changed);
    assert_eq!(suspects, [1, 3].into(), "those of it that we have");
    doubt.suspect(suspects);
    assert!(doubt.about(1) && !doubt.about(0) && doubt.is_waiting() && !doubt.is_certain());
    assert_eq!((doubt.next(), doubt.next(), doubt.next()), (Some(1), Some(3), None));
    [1, 3].into_iter().for_each(|piece| doubt.settled(piece));
    assert!(doubt.is_certain() && doubt.check() == Ok(()));
    doubt.wrote(2);
    assert!(doubt.compare(&metainfo, &have, &again).is_empty(), "we wrote to it");
    // While the location was gone, what was not durable may have been lost.
    doubt.wrote(3);
    let suspects = doubt.compare_after_absence(&metainfo, &have, &again);
    assert_eq!(suspects, [3].into());
    let read = [(0, FileStatus { modified: 8, ..whole()[0] })];
    assert_eq!(doubt.changed(&metainfo, &have, &read), [0, 1].into());
    assert!(doubt.changed(&metainfo, &have, &read).is_empty(), "it is known already");
}
