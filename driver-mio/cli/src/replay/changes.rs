//! Changes of a state, those that say the same of many things told once.

use std::collections::BTreeMap;

use eddyline::trace::Change;

/// The changes as lines; where paths differ in their last number only, and values not at all, they are
/// one line with a range of numbers.
pub fn joined(changes: &[Change]) -> Vec<String> {
    let mut groups: BTreeMap<_, (usize, Vec<u64>)> = BTreeMap::new();
    let mut lines = Vec::new();
    for change in changes {
        let Some((head, number, tail)) = split(&change.path) else {
            lines.push((lines.len() + groups.len(), change.to_string()));
            continue;
        };
        let place = lines.len() + groups.len();
        let key = (head, tail, &change.before, &change.after);
        groups.entry(key).or_insert((place, Vec::new())).1.push(number);
    }
    for ((head, tail, before, after), (place, mut numbers)) in groups {
        numbers.sort_unstable();
        let path = format!("{head}{}{tail}", ranges(&numbers));
        let text = Change { path, before: before.clone(), after: after.clone() }.to_string();
        let count = numbers.len();
        lines.push((place, if count > 1 { format!("{text} ({count} of them)") } else { text }));
    }
    lines.sort();
    lines.into_iter().map(|(_, text)| text).collect()
}

/// What stands before the last number in a path, the number, and what stands behind it.
fn split(path: &str) -> Option<(&str, u64, &str)> {
    let end = path.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = path[..end]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + path[at..].chars().next().map_or(1, char::len_utf8));
    Some((&path[..start], path[start..end].parse().ok()?, &path[end..]))
}

/// `1-3,7` of sorted numbers.
fn ranges(numbers: &[u64]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let parts = parts.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    //! Unit tests of joining.

    use super::*;

    #[test]
    fn the_same_change_of_many_is_one_line() {
        let change = |path: &str, after: &str| Change {
            path: path.into(),
            before: Some("0".into()),
            after: Some(after.into()),
        };
        let all = [
            change("now", "5"),
            change("pieces.1.state", "1"),
            change("pieces.10.state", "1"),
            change("pieces.2.state", "1"),
            change("pieces.3.state", "2"),
        ];
        assert_eq!(
            joined(&all),
            ["now: 0 → 5", "pieces.1-2,10.state: 0 → 1 (3 of them)", "pieces.3.state: 0 → 2"]
        );
    }
}
