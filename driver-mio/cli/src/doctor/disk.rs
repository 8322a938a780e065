//! The folder in which files would be: whether it can be written, how fast, and how much room there is.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::exit::{Failure, io_text};
use super::super::units::{rate, size};
use super::report::{Check, Verdict};

/// Written in one go.
const CHUNK: usize = 1 << 20;
/// Written in all; less where the disk is slow.
const MOST: u64 = 64 << 20;
/// As long as this at most, before what was written is made durable.
const PATIENCE: Duration = Duration::from_secs(3);
/// With less room than this, not much can be downloaded.
const LITTLE: u64 = 1 << 30;
/// A slower disk holds up a download at a gigabit.
const SLOW: u64 = 100_000_000;

/// Writes into the folder, and removes what was written.
pub fn check(folder: &Path) -> Check {
    match measure(folder) {
        Ok((written, took)) => of(folder, speed(written, took), room(folder)),
        Err(error) => {
            let failure = Failure::io(folder, &error);
            let text = format!("{}: {}", folder.display(), io_text(&error));
            Check::new("disk", failure.code, Verdict::Bad, text)
                .advise("choose another folder with --dir, or mend this one")
        }
    }
}

/// Writes a file that has no name, so that nothing of it is left whatever happens. Returns how much was written, and
/// how long it took until it was on the disk.
fn measure(folder: &Path) -> io::Result<(u64, Duration)> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut chunk = vec![0; CHUNK];
    // Some disks make little of what repeats itself.
    getrandom::fill(&mut chunk).map_err(io::Error::other)?;
    let (began, mut written) = (Instant::now(), 0);
    while written < MOST && began.elapsed() < PATIENCE {
        file.write_all(&chunk)?;
        written += CHUNK as u64;
    }
    file.sync_all()?;
    Ok((written, began.elapsed()))
}

fn speed(written: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(written) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// Bytes that we may write.
fn room(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn of(folder: &Path, speed: u64, room: Option<u64>) -> Check {
    let left = room.map_or(String::new(), |room| format!(", {} are free", size(room)));
    let text = format!("{} takes {}{left}", folder.display(), rate(speed));
    let slow = speed < SLOW;
    let little = room.is_some_and(|room| room < LITTLE);
    let verdict = if slow || little { Verdict::Warning } else { Verdict::Ok };
    let check = Check::new("disk", 0, verdict, text).value("bytes_per_second", speed);
    let check = match (little, slow) {
        (true, _) => check.advise("there is little room"),
        (false, true) => check.advise("the disk is slower than a fast network"),
        (false, false) => check,
    };
    room.map(|room| check.clone().value("free", room)).unwrap_or(check)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of a folder.

    use super::*;
    use crate::exit::NOT_FOUND;

    #[test]
    fn a_folder_is_written_and_nothing_is_left_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let found = check(folder.path());
        assert!(found.verdict.is_fine() && found.values["bytes_per_second"] > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = check(&folder.path().join("gone"));
        assert_eq!((gone.verdict, gone.code), (Verdict::Bad, NOT_FOUND));
    }

    #[test]
    fn a_slow_disk_and_a_full_one_are_warnings() {
        let verdict = |speed, room| of(Path::new("x"), speed, room).verdict;
        assert_eq!(verdict(SLOW, Some(LITTLE)), Verdict::Ok);
        assert_eq!(verdict(SLOW - 1, Some(LITTLE)), Verdict::Warning);
        assert_eq!(verdict(SLOW, Some(LITTLE - 1)), Verdict::Warning);
        assert_eq!(verdict(SLOW, None), Verdict::Ok);
        assert_eq!(speed(50_000_000, Duration::from_millis(500)), 100_000_000);
    }
}
