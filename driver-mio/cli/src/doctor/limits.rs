//! What the system lets this process have.

use eddyline::Config;
use rustix::process::{Resource, getrlimit};

use super::super::exit::UNEXPECTED;
use super::report::{Check, Verdict};

/// Looks at how many files and sockets may be open.
pub fn check() -> Check {
    let limit = getrlimit(Resource::Nofile);
    of(limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

fn of(now: u64, most: u64) -> Check {
    let wanted = u64::from(Config::default().max_connections) + 256;
    let text = match now {
        u64::MAX => "any number of files and sockets may be open".to_owned(),
        now => format!("{now} files and sockets may be open"),
    };
    let check = match now < wanted {
        false => Check::new("limits", UNEXPECTED, Verdict::Ok, text),
        true => Check::new("limits", UNEXPECTED, Verdict::Warning, text).advise(if most > now {
            format!("{wanted} are better: ulimit -n {}", wanted.min(most))
        } else {
            format!("{wanted} are better; the system allows no more")
        }),
    };
    check.value("open_files", now)
}

#[cfg(test)]
mod tests {
    //! Unit tests of limits.

    use super::*;

    #[test]
    fn few_files_are_a_warning_that_says_what_helps() {
        assert_eq!(of(1 << 20, 1 << 20).verdict, Verdict::Ok);
        let few = of(64, 128);
        assert_eq!(
            (few.verdict, few.advice.unwrap().contains("ulimit -n 128")),
            (Verdict::Warning, true)
        );
        assert!(of(64, 64).advice.unwrap().contains("no more"));
    }
}
