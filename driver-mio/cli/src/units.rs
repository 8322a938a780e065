//! Sizes, rates and durations as people write and read them.

use std::time::Duration;

/// A number of things, with the noun as it stands behind that number.
pub fn count(number: u32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Reads `512`, `64K`, `1.5MiB`, `2G`: powers of 1000, or of 1024 with `i`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("'{text}' is not a size; say it as in 500K or 2MiB"));
    }
    let unit = unit.trim().trim_end_matches(['B', 'b']);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return Err(format!("unknown unit '{unit}'; use K, M, G, KiB, MiB or GiB")),
    };
    let value: f64 = number.parse().map_err(|_| format!("'{text}' is not a size"))?;
    let bytes = value * factor as f64;
    if bytes.is_finite() && bytes < 9e18 { Ok(bytes as u64) } else { Err("too large".into()) }
}

/// Reads a rate: a size per second, at least one byte.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text.trim_end_matches("/s"))? {
        0 => Err("a limit of nothing would never end; leave the flag out for no limit".into()),
        rate => Ok(rate),
    }
}

/// Reads `90`, `90s`, `5m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = |_| format!("'{text}' is not a time; say it as in 90s, 5m, 2h or 1d");
    let seconds: u64 = number.parse().map_err(wrong)?;
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("unknown unit '{unit}'; use s, m, h or d")),
    };
    Ok(Duration::from_secs(seconds.saturating_mul(factor)))
}

/// A limit, or the word that there is none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Limit<T> {
    /// `none`.
    None,
    /// So much.
    To(T),
}

impl<T> Limit<T> {
    /// The limit, if there is one.
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Self::None => None,
            Self::To(limit) => Some(limit),
        }
    }
}

/// Reads `none`, or what `parse` reads.
pub fn or_none<T: 'static>(
    parse: impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<Limit<T>, String> + Clone + Send + Sync + 'static {
    move |text| if text == "none" { Ok(Limit::None) } else { parse(text).map(Limit::To) }
}

/// `1.4 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1.4 MiB/s`.
pub fn rate(bytes: u64) -> String {
    format!("{}/s", size(bytes))
}

/// `3:07`, `1:02:03`.
pub fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of sizes and durations.

    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("64K"), Ok(64_000));
        assert_eq!(parse_size("1.5MiB"), Ok(1_572_864));
        assert_eq!(parse_size("2 GB"), Ok(2_000_000_000));
        assert!(parse_size("5X").is_err() && parse_size("").is_err() && parse_size("-1").is_err());
        for word in ["fast", "MiB", ""] {
            assert!(parse_size(word).unwrap_err().contains("is not a size"), "{word}");
        }
        assert!(parse_rate("0").is_err());
        assert_eq!(parse_rate("100K/s"), Ok(100_000));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(parse_duration("soon").unwrap_err().contains("90s, 5m"));
        assert!(parse_duration("5y").unwrap_err().contains("unknown unit"));
    }

    #[test]
    fn limits_can_be_taken_away() {
        assert_eq!(or_none(parse_rate)("none"), Ok(Limit::None));
        assert_eq!(or_none(parse_rate)("1K"), Ok(Limit::To(1000)));
    }

    #[test]
    fn sizes_and_clocks_read_well() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1_500_000), "1.4 MiB");
        assert_eq!(clock(187), "3:07");
        assert_eq!(clock(3723), "1:02:03");
    }
}
