//! Unit tests of storage as one machine: what it is told, and what follows from that.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::{Adoption, Around, Arrangement, Output, Outputs, Storage};
use super::{metainfo, whole};
use crate::api::{Allocation, DiskError, DiskOutcome, FileStatus, LocationId, Tag, TorrentError};
use crate::base::hash::Sha1Hash;
use crate::base::ids::TorrentId;
use crate::base::rng::Seed;
use crate::base::time::Instant;
use crate::context::{DiskJob, DiskLedger, HashPurpose};
use crate::metainfo::{Metainfo, Naming};
use crate::picker::{BlockRef, Picker};
use crate::torrent::life::{Life, Stage};

const ID: TorrentId = TorrentId::from_u64(1);
const GONE: DiskError = DiskError::LocationGone;

/// Storage, and what is around it.
struct Bench {
    storage: Storage,
    metainfo: Arc<Metainfo>,
    life: Life,
    picker: Picker,
    disk: DiskLedger,
    second: u64,
}

impl Bench {
    /// A torrent that was just added, at location 1.
    fn new() -> Self {
        let metainfo = Arc::new(metainfo());
        let arrangement =
            Arrangement::new(LocationId(1), Allocation::None, Naming::default(), false);
        let mut rng = Seed::from_u64(1).stream("test");
        Self {
            storage: Storage::new(arrangement, Adoption::new(false), None),
            picker: Picker::new(metainfo.geometry(), &mut rng),
            metainfo,
            life: Life::new(false, true, false),
            disk: DiskLedger::default(),
            second: 1,
        }
    }

    /// One that is whole and on record.
    fn whole() -> Self {
        let mut bench = Self::new();
        bench.open();
        (0..4).for_each(|piece| bench.picker.set_have(piece));
        assert_eq!(bench.tell(Storage::checked), ["Adopted"]);
        bench.life.enter(Stage::Active);
        bench.save();
        bench
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.second * 1000)
    }

    /// Tells it something. Returns what follows, an operation or a notice by its own name.
    fn tell(&mut self, tell: impl FnOnce(&mut Storage, &Around<'_>, &mut Outputs)) -> Vec<String> {
        let mut out = Outputs::new();
        let around = Around {
            torrent: ID,
            now: self.now(),
            metainfo: Some(&self.metainfo),
            life: &self.life,
            picker: Some(&self.picker),
            disk: &self.disk,
        };
        tell(&mut self.storage, &around, &mut out);
        out.iter().map(name).collect()
    }

    fn outcome(&mut self, job: DiskJob, outcome: DiskOutcome) -> Vec<String> {
        self.tell(|storage, around, out| storage.outcome(job, outcome, around, out))
    }

    fn open(&mut self) {
        let opened = self.tell(|storage, around, out| storage.open(around, Vec::new(), out));
        assert_eq!(opened, ["Open"]);
        let files = DiskOutcome::Opened(whole().into());
        assert_eq!(self.outcome(DiskJob::Open(ID), files), ["Opened"]);
        let queue = [0, 1, 2, 3].into();
        self.life.enter(Stage::Checking { queue, hashing: 0 });
    }

    fn save(&mut self) {
        assert_eq!(self.tell(Storage::save_now), ["Sync"]);
        let files = DiskOutcome::Synced(whole().into());
        assert_eq!(self.outcome(DiskJob::Sync(ID), files), ["Store"]);
        let stored = self.outcome(DiskJob::Store(ID), DiskOutcome::Done);
        assert!(stored.contains(&"ResumeSaved".to_string()), "{stored:?}");
    }
}

/// What an output is called, or what it brings.
fn name(output: &Output) -> String {
    let text = match output {
        Output::Operation(job, _) => alloc::format!("{job:?}"),
        Output::Notice(notice) => alloc::format!("{notice:?}"),
        other => alloc::format!("{other:?}"),
    };
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[test]
fn files_are_checked_adopted_and_on_record_before_anything_is_asked_for() {
    let mut bench = Bench::new();
    bench.open();
    assert_eq!(bench.tell(Storage::settle), Vec::<String>::new());
    assert_eq!(bench.tell(Storage::checked), ["InTheWay"], "no piece shows that they are ours");
    bench.picker.set_have(1);
    assert_eq!(bench.tell(Storage::checked), ["Adopted"]);
    bench.life.enter(Stage::Active);
    assert!(
        bench.storage.is_unclaimed() && bench.storage.room_for_requests(bench.now(), || 0) == 0
    );
    assert_eq!(bench.tell(Storage::save_now), ["Sync"]);
    assert_eq!(bench.tell(Storage::save_now), Vec::<String>::new(), "one at a time");
    let files = DiskOutcome::Synced(whole().into());
    assert_eq!(bench.outcome(DiskJob::Sync(ID), files), ["Store"]);
    let stored = bench.outcome(DiskJob::Store(ID), DiskOutcome::Done);
    assert_eq!(stored, ["GoOn", "ResumeSaved", "Touched"]);
    assert_eq!(bench.storage.room_for_requests(bench.now(), || 0), u32::MAX);
    assert!(bench.storage.is_at_rest());
}

#[test]
fn a_piece_in_doubt_is_hashed_and_lost_when_it_is_bad() {
    let mut bench = Bench::whole();
    let changed = [(0, FileStatus { modified: 8, ..whole()[0] })];
    let doubted =
        bench.tell(|storage, around, out| storage.changed_in_place(around, &changed, out));
    assert_eq!(doubted, ["AwaitsHash"]);
    assert!(bench.storage.doubts(0) && bench.storage.doubts(1) && !bench.storage.doubts(2));
    let hash = |piece| DiskJob::Hash { torrent: ID, piece, purpose: HashPurpose::Doubt };
    for piece in [0, 1] {
        assert_eq!(bench.tell(|s, around, out| assert!(s.hash_one(around, out))), ["Hash"]);
        assert!(bench.storage.doubts(piece), "nobody is served from it meanwhile");
    }
    let bad = DiskOutcome::PieceHashed(Sha1Hash([0; 20]));
    assert_eq!(bench.outcome(hash(0), bad), ["Touched", "Lost"]);
    // What cannot be read may be good: it is hashed again when the disk is back.
    let failed = bench.outcome(hash(1), DiskOutcome::Failed(DiskError::Io));
    assert_eq!(failed, ["Touched", "Failed"]);
    assert!(!bench.storage.doubts(0) && bench.storage.doubts(1) && bench.storage.awaits_hash());
    let good = DiskOutcome::PieceHashed(Sha1Hash(*b"hhhhhhhhhhhhhhhhhhhh"));
    assert_eq!(bench.outcome(hash(1), good), ["Touched"]);
    assert!(!bench.storage.awaits_hash());
}

#[test]
fn a_full_disk_holds_requests_until_one_block_finds_room() {
    let mut bench = Bench::whole();
    assert_eq!(bench.tell(Storage::no_room), ["DiskFull", "Wake", "Hold"]);
    assert_eq!(bench.tell(Storage::no_room), Vec::<String>::new(), "nothing new");
    let room = |bench: &Bench| bench.storage.room_for_requests(bench.now(), || 0);
    assert_eq!((room(&bench), bench.storage.is_trial_due(bench.now())), (0, false));
    bench.second += 5;
    assert_eq!((room(&bench), bench.storage.is_trial_due(bench.now())), (1, true));
    let wrote = bench.tell(|storage, around, out| storage.wrote(around, 2, false, out));
    assert_eq!(wrote, ["DiskHasRoom", "GoOn"]);
    assert_eq!(room(&bench), u32::MAX);
    // A sync without room is no failure either.
    bench.tell(Storage::save_now);
    let full = DiskOutcome::Failed(DiskError::NoSpace);
    assert_eq!(bench.outcome(DiskJob::Sync(ID), full), ["DiskFull", "Wake", "Hold", "Touched"]);
}

#[test]
fn a_location_that_is_gone_is_looked_for_until_it_is_back() {
    let mut bench = Bench::whole();
    assert!(bench.life.fail(TorrentError::Disk(GONE)));
    assert_eq!(bench.tell(|storage, around, out| storage.location_gone(around.now, out)), ["Wake"]);
    assert_eq!(bench.tell(Storage::settle), Vec::<String>::new(), "not at once");
    bench.second += 5;
    assert_eq!(bench.tell(Storage::settle), ["Reopen"]);
    let reopen = DiskJob::Reopen(ID);
    assert_eq!(bench.outcome(reopen, DiskOutcome::Failed(GONE)), ["Wake"]);
    assert_eq!(bench.tell(|s, around, out| assert!(s.look_at_once(around, out))), ["Touched"]);
    assert_eq!(bench.tell(Storage::settle), ["Reopen"], "the user says when");
    let files = DiskOutcome::Opened(whole().into());
    assert_eq!(bench.outcome(reopen, files), ["LocationBack", "Back"]);
}

#[test]
fn data_is_moved_when_nothing_is_written_and_what_is_left_behind_goes_once_that_is_on_record() {
    let mut bench = Bench::whole();
    let to = LocationId(2);
    let moved = bench.tell(|storage, around, out| storage.move_to(around, Tag(7), to, out));
    assert_eq!(moved, ["Touched"]);
    let at = BlockRef { piece: 0, block: 0 };
    let write = bench.disk.begin(DiskJob::Write { torrent: ID, at, generation: 1, length: 1 });
    assert_eq!(bench.tell(Storage::settle), ["Hold"]);
    bench.disk.end(write);
    assert_eq!(bench.tell(Storage::settle), ["Hold", "Arrange"]);
    assert!(bench.storage.holds_writes());
    assert_eq!(bench.tell(Storage::save_now), Vec::<String>::new(), "not in the middle of it");
    let done = bench.outcome(DiskJob::Arrange(ID), DiskOutcome::Opened(whole().into()));
    assert_eq!(done, ["Touched", "GoOn"]);
    assert!(!bench.storage.holds_writes());
    assert_eq!(bench.tell(Storage::settle), Vec::<String>::new(), "it is not on record yet");
    bench.save();
    assert_eq!(bench.tell(Storage::settle), ["Arrange"], "the old copy is discarded");
}
