//! The clock: certificates of trackers cannot be checked with a wrong one.

use std::time::{Duration, SystemTime};

use super::super::exit::UNEXPECTED;
use super::report::{Check, Verdict};

/// A clock that is behind the time at which this program was made is wrong; less than this may come of time zones.
const TOLERATED: Duration = Duration::from_secs(2 * 86_400);

/// Looks at the clock.
pub fn check() -> Check {
    let program = std::env::current_exe().and_then(|program| program.metadata()?.modified());
    of(SystemTime::now(), program.ok())
}

fn of(now: SystemTime, made: Option<SystemTime>) -> Check {
    let shown = humantime::format_rfc3339_seconds(now);
    let wrong = made.is_some_and(|made| now + TOLERATED < made);
    if wrong {
        let text = format!("{shown} is before this program was made");
        return Check::new("clock", UNEXPECTED, Verdict::Bad, text)
            .advise("set the clock: with a wrong one, trackers over https are not trusted");
    }
    Check::new("clock", UNEXPECTED, Verdict::Ok, format!("it is {shown}"))
}

#[cfg(test)]
mod tests {
    //! Unit tests of the clock.

    use super::*;

    #[test]
    fn a_clock_that_is_years_behind_is_bad() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let year = Duration::from_secs(366 * 86_400);
        assert_eq!(of(now, Some(now + year)).verdict, Verdict::Bad);
        assert_eq!(of(now, Some(now - year)).verdict, Verdict::Ok);
        assert_eq!(of(now, Some(now + TOLERATED / 2)).verdict, Verdict::Ok);
        assert!(of(now, None).summary.contains("2030-03-17"));
    }
}
