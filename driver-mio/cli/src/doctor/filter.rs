//! Which addresses are blocked, where lists were given.

use eddyline::filter::Filter;

use super::super::exit::UNEXPECTED;
use super::super::units::count;
use super::report::{Check, Verdict};

/// What the lists say that are loaded; nothing where there are none.
pub fn check(given: bool, filter: &Filter) -> Option<Check> {
    let new = |verdict, summary| Check::new("filter", UNEXPECTED, verdict, summary);
    let ranges = filter.len() as u64;
    let check = match ranges {
        _ if !given => return None,
        0 => new(Verdict::Warning, "no address is blocked: the lists are empty".to_owned()),
        _ => new(
            Verdict::Ok,
            format!(
                "{} of addresses are blocked",
                count(u32::try_from(ranges).unwrap_or(u32::MAX), "range")
            ),
        ),
    };
    Some(check.value("ranges", ranges).value("bytes", filter.bytes() as u64))
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of lists.

    use eddyline::filter::FilterBuilder;

    use super::*;

    #[test]
    fn lists_that_block_nobody_are_told_and_others_are_counted() {
        let empty = Filter::default();
        assert_eq!(check(false, &empty), None);
        assert_eq!(check(true, &empty).unwrap().verdict, Verdict::Warning);
        let mut builder = FilterBuilder::default();
        builder.block([1, 2, 3, 4].into(), [1, 2, 3, 9].into());
        let check = check(true, &builder.build()).unwrap();
        assert!(check.verdict == Verdict::Ok && check.summary.starts_with("1 range of"));
        assert_eq!((check.values["ranges"], check.values["bytes"]), (1, 8));
    }
}
