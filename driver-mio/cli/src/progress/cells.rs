//! Numbers as the cells of the progress display have them: each of a fixed width.

/// Units by powers of 1024.
const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// The unit in which a number has at most three digits before its point.
fn unit_of(bytes: u64) -> usize {
    let mut unit = 0;
    while unit + 1 < UNITS.len() && scaled(bytes, unit) >= 999.95 {
        unit += 1;
    }
    unit
}

fn scaled(bytes: u64, unit: usize) -> f64 {
    bytes as f64 / 1024f64.powi(unit as i32)
}

/// At most five characters.
fn digits(bytes: u64, unit: usize) -> String {
    if unit == 0 { bytes.to_string() } else { format!("{:.1}", scaled(bytes, unit)) }
}

/// `  1.2/ 45.0 GiB`, 15 characters: both in the unit of the whole, so that it does not change.
pub fn number_in_unit(done: u64, length: u64) -> String {
    let unit = unit_of(length);
    format!("{:>5}/{:>5} {:<3}", digits(done.min(length), unit), digits(length, unit), UNITS[unit])
}

/// ` 12.3 MiB/s`, 11 characters; the first is free, so that an arrow in front of it is by itself.
pub fn speed(rate: u64) -> String {
    let unit = unit_of(rate);
    let whole = unit > 0 && scaled(rate, unit) >= 99.95;
    let digits = if whole { format!("{:.0}", scaled(rate, unit)) } else { digits(rate, unit) };
    format!("{digits:>5} {:<5}", format!("{}/s", UNITS[unit]))
}

/// ` 42.0%`, 6 characters; 100 only when everything is there.
pub fn percent(done: u64, length: u64) -> String {
    let tenths = thousandths(done, length);
    format!("{:>5}%", format!("{}.{}", tenths / 10, tenths % 10))
}

/// ` 42%`, 4 characters.
pub fn short_percent(done: u64, length: u64) -> String {
    format!("{:>3}%", thousandths(done, length) / 10)
}

fn thousandths(done: u64, length: u64) -> u128 {
    if length == 0 { 1000 } else { u128::from(done.min(length)) * 1000 / u128::from(length) }
}

/// `ETA   1:23`, 10 characters.
pub fn eta(left: u64, rate: u64) -> String {
    let text = match left.checked_div(rate) {
        None => "--:--".to_owned(),
        Some(seconds @ 0..3600) => format!("{}:{:02}", seconds / 60, seconds % 60),
        Some(seconds @ 3600..86_400) => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        Some(seconds) if seconds < 100 * 86_400 => {
            format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24)
        }
        Some(_) => ">99d".to_owned(),
    };
    format!("ETA {text:>6}")
}

#[cfg(test)]
mod tests {
    //! Unit tests of cells: no value is wider than its column.

    use super::*;

    #[test]
    fn every_number_has_the_width_of_its_column() {
        let mut values = vec![0, 1, 999, 1000, 1023, u64::MAX];
        values.extend((0..60).flat_map(|shift| {
            let power = 1u64 << shift;
            [power - 1, power, power + 1, power.saturating_mul(999), power.saturating_mul(1000)]
        }));
        for value in values.iter().copied().filter(|value| *value < 999 << 50) {
            assert_eq!(speed(value).chars().count(), 11, "{value}: {:?}", speed(value));
            assert!(speed(value).starts_with(' '), "{value}: {:?}", speed(value));
            for done in [0, value / 2, value] {
                let text = number_in_unit(done, value);
                assert_eq!(text.chars().count(), 15, "{done} of {value}: {text:?}");
                assert_eq!(percent(done, value).chars().count(), 6);
                assert_eq!(short_percent(done, value).chars().count(), 4);
            }
        }
        for value in values {
            assert_eq!(eta(value, 1).chars().count(), 10, "{value}");
        }
    }

    #[test]
    fn cells_read_well() {
        assert_eq!(speed(12_900_000), " 12.3 MiB/s");
        assert_eq!(speed(0), "    0 B/s  ");
        assert_eq!((speed(645_222), speed(102_348)), ("  630 KiB/s".into(), " 99.9 KiB/s".into()));
        assert_eq!(number_in_unit(1_288_490_188, 48_318_382_080), "  1.2/ 45.0 GiB");
        assert_eq!(
            (percent(999_999, 1_000_000), percent(5, 5)),
            (" 99.9%".into(), "100.0%".into())
        );
        assert_eq!((eta(83, 1), eta(1, 0)), ("ETA   1:23".into(), "ETA  --:--".into()));
        assert_eq!((eta(5000, 1), eta(200_000, 1)), ("ETA  1h23m".into(), "ETA  2d07h".into()));
    }
}
