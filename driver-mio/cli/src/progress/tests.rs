//! Unit tests of the layout, at the widths that terminals have.

use console::{measure_text_width, strip_ansi_codes};

use super::layout::{Phase, Row, lines, plain};
use super::map;
use eddyline::base::bits::Bits;

fn torrent(name: &str, phase: Phase) -> Row {
    Row {
        name: name.into(),
        phase,
        done: 1_288_490_188,
        length: 4_831_838_208,
        down_rate: 12_900_000,
        up_rate: 1_300_000,
        uploaded: 2_415_919_104,
        peers: 34,
        seeds: 12,
        utp: 3,
        web_seeds: 0,
        note: None,
        map: vec![8, 4, 0, 8],
    }
}

fn show(rows: &[Row], columns: usize, height: usize, verbose: bool) -> Vec<String> {
    let lines = lines(rows, columns, height, verbose);
    lines.iter().map(|line| strip_ansi_codes(line).into_owned()).collect()
}

#[test]
fn one_torrent_loses_first_what_matters_least() {
    let row = torrent("debian-13.iso", Phase::Downloading);
    let status = |columns| show(std::slice::from_ref(&row), columns, 24, false)[1].clone();
    assert_eq!(status(20), " 26% ETA   4:34");
    assert_eq!(status(40), "━━──────  26.6% ↓ 12.3 MiB/s ETA   4:34");
    assert_eq!(
        show(std::slice::from_ref(&row), 80, 24, false),
        [
            "debian-13.iso                                  ↑  1.2 MiB/s  34 peers  12 seeds",
            "━━━━━━━━╸───────────────────────  26.6%   1.2/  4.5 GiB ↓ 12.3 MiB/s ETA   4:34",
        ]
    );
    // A long name comes before them.
    let long = Row { name: "x".repeat(60), ..row.clone() };
    let heading = |columns| show(std::slice::from_ref(&long), columns, 24, false)[0].clone();
    assert_eq!(heading(80), format!("{}           34 peers", "x".repeat(60)));
    assert_eq!(heading(40), format!("{}…", "x".repeat(38)));
    for part in ["26.6%", "1.2/  4.5 GiB", "↓ 12.3 MiB/s", "↑  1.2 MiB/s", "34 peers", "12 seeds"]
    {
        assert!(status(120).contains(part) && status(200).contains(part), "{part}");
    }
    // Nothing is half empty.
    for columns in [40, 80, 120, 200] {
        assert!(
            measure_text_width(&status(columns)) + 2 >= columns,
            "{columns}: {}",
            status(columns)
        );
    }
}

#[test]
fn no_line_is_as_wide_as_the_terminal_and_none_is_below_it() {
    let phases = [
        Phase::Downloading,
        Phase::Checking,
        Phase::Metadata,
        Phase::Seeding,
        Phase::Failed,
        Phase::Paused,
    ];
    let names = [
        "a",
        "日本語の名前がついたファイル",
        "a name that goes on and on and on and on and on and on",
    ];
    let mut rows = Vec::new();
    for (number, phase) in phases.into_iter().cycle().take(12).enumerate() {
        let mut row = torrent(names[number % 3], phase);
        row.note = (number % 2 == 0).then(|| "nothing moves: no tracker answers".into());
        rows.push(row);
    }
    for columns in (1..60).chain([80, 120, 200]) {
        for height in [1, 2, 3, 5, 10, 24, 60] {
            for count in [0, 1, 2, 12] {
                for verbose in [false, true] {
                    let lines = show(&rows[..count], columns, height, verbose);
                    assert!(lines.len() < height.max(2), "{columns} × {height}: {lines:#?}");
                    let width = lines.iter().map(|line| measure_text_width(line)).max();
                    assert!(width.unwrap_or(0) < columns.max(2), "{columns}: {lines:#?}");
                }
            }
        }
    }
}

#[test]
fn columns_stay_where_they_are_whatever_the_numbers() {
    let before = torrent("x", Phase::Downloading);
    let after = Row {
        done: 4_800_000_000,
        down_rate: 0,
        up_rate: 999_999_999,
        peers: 1,
        seeds: 0,
        utp: 0,
        ..before.clone()
    };
    for columns in [40, 80, 120, 200] {
        let place = |row: &Row, mark: char| {
            let lines = show(std::slice::from_ref(row), columns, 24, false).join("\n");
            lines.chars().position(|c| c == mark)
        };
        for mark in ['↓', '↑', '%'] {
            assert_eq!(place(&before, mark), place(&after, mark), "{mark} at {columns}");
        }
    }
}

#[test]
fn who_is_fed_by_a_web_seed_alone_is_not_shown_as_one_without_sources() {
    let alone = Row { peers: 0, seeds: 0, web_seeds: 1, ..torrent("x", Phase::Downloading) };
    let among = Row { web_seeds: 2, ..torrent("x", Phase::Downloading) };
    let shown = |row: &Row, columns| show(std::slice::from_ref(row), columns, 24, false).join("\n");
    for columns in [80, 120, 200] {
        assert!(shown(&alone, columns).contains("1 web seed"), "{}", shown(&alone, columns));
        let text = shown(&among, columns);
        assert!(text.contains("34 peers") && text.contains("2 web seeds"), "{text}");
    }
    let (waits, sum) = (torrent("y", Phase::Downloading), shown(&alone, 120));
    assert!(!sum.contains("web seeds"));
    let both = show(&[alone, waits], 120, 24, false);
    assert!(both[0].contains("1 web seed") && !both[1].contains("web seed"), "{both:?}");
}

#[test]
fn several_torrents_have_a_line_each_and_a_sum() {
    let rows = [
        torrent("first", Phase::Downloading),
        torrent("second", Phase::Checking),
        Row {
            note: Some("nothing moves: no peer is known yet".into()),
            ..torrent("third", Phase::Metadata)
        },
    ];
    for columns in [40, 80, 120, 200] {
        let lines = show(&rows, columns, 24, false);
        let begins = |text: &str| lines.iter().position(|line| line.trim_start().starts_with(text));
        // Those that need something first come first.
        let second = if columns < 60 { "second" } else { "checking second" };
        let places = ["third", "nothing moves", second, "first", "all 3"].map(begins);
        assert_eq!(places, [Some(0), Some(1), Some(2), Some(3), Some(4)], "{lines:#?}");
        assert!(lines[2].contains("checking") && lines[3].contains("ETA"), "{lines:#?}");
    }
}

#[test]
fn of_names_that_begin_alike_the_end_is_shown_where_there_is_no_room() {
    let names = ["Season 1 of a series", "Season 10 of a series", "Season 11 of a series"];
    let rows = names.map(|name| torrent(name, Phase::Downloading));
    let narrow = show(&rows, 40, 24, false);
    let begins = ["…1 of a… ", "…10 of … ", "…11 of … ", "all 3 "];
    let all = narrow.iter().zip(begins).all(|(line, start)| line.starts_with(start.trim_end()));
    assert!(all && narrow.len() == 4, "{narrow:#?}");
    // Otherwise the start says more.
    let wide = show(&rows, 80, 24, false);
    assert!(wide.iter().zip(names).all(|(line, name)| line.starts_with(name)), "{wide:#?}");
    let others = ["a film of its own", "another film"].map(|name| torrent(name, Phase::Seeding));
    assert!(show(&others, 40, 24, false)[0].starts_with("a film"));
}

#[test]
fn what_does_not_fit_is_counted() {
    let rows: Vec<Row> =
        (0..50).map(|n| torrent(&format!("torrent {n}"), Phase::Downloading)).collect();
    let lines = show(&rows, 80, 10, true);
    assert_eq!(lines.len(), 9);
    assert!(lines[8].starts_with("all 50, 42"), "{lines:#?}");
    let lines = show(&rows, 120, 10, true);
    assert!(lines[8].starts_with("all 50, 42 not shown "), "{lines:#?}");
}

#[test]
fn how_many_are_not_shown_is_told_in_the_narrowest_terminal_too() {
    let rows = vec![torrent("a name that is longer than its column", Phase::Downloading); 6];
    for columns in [24, 40, 60, 80] {
        let lines = show(&rows, columns, 5, false);
        let last = lines.last().unwrap();
        assert!(last.starts_with("+3 of 6") || last.contains("3 not shown"), "{columns}: {last}");
        let many = vec![rows[0].clone(); 40];
        let last = show(&many, columns, 20, false).pop().unwrap();
        let said = ["+22 more ", "+22 of 40 ", "all 40, 22 not shown "];
        assert!(said.iter().any(|said| last.starts_with(said)), "{columns}: {last}");
    }
}

#[test]
fn hashing_has_a_rate_and_an_end_and_no_peers() {
    let row = torrent("hashing x", Phase::Hashing);
    let status = |columns| show(std::slice::from_ref(&row), columns, 24, false);
    assert_eq!(status(40), ["hashing x", "━━──────  26.6%   12.3 MiB/s ETA   4:34"]);
    assert_eq!(
        status(80),
        [
            "hashing x",
            "━━━━━━━━╸───────────────────────  26.6%   1.2/  4.5 GiB   12.3 MiB/s ETA   4:34"
        ]
    );
    assert_eq!(measure_text_width(&status(200)[1]), 199);
    assert_eq!(plain(&row), "hashing x, 26.6%, 1.2 GiB of 4.5 GiB, 12.3 MiB/s, ETA 4:34");
}

#[test]
fn a_check_has_a_rate_and_an_end_as_hashing_has() {
    let row = torrent("x", Phase::Checking);
    let status = |columns| show(std::slice::from_ref(&row), columns, 24, false);
    assert_eq!(status(40), ["checking x", "━━──────  26.6%   12.3 MiB/s ETA   4:34"]);
    assert!(status(80)[1].ends_with("  1.2/  4.5 GiB   12.3 MiB/s ETA   4:34"));
    assert_eq!(plain(&row), "x, 26.6%, 1.2 GiB of 4.5 GiB, checking at 12.3 MiB/s, ETA 4:34");
    // Of several, each says what is done with it, and the sum of what is fetched has no hashing in it.
    let rows = [row, torrent("y", Phase::Downloading)];
    let wide = show(&rows, 80, 24, false);
    assert!(wide[0].starts_with("checking x ") && wide[0].contains("ETA   4:34"), "{wide:#?}");
    assert!(wide[2].contains("↓ 12.3 MiB/s"), "{wide:#?}");
    let narrow = show(&rows, 40, 24, false);
    assert!(narrow[0].starts_with("x ") && narrow[0].contains("checking"), "{narrow:#?}");
}

#[test]
fn maps_and_their_legend_come_with_verbose() {
    let row = torrent("x", Phase::Downloading);
    let lines = show(std::slice::from_ref(&row), 80, 24, true);
    assert_eq!(lines[2], "█▄·█");
    assert!(lines[3].contains("verified"));
    assert_eq!(show(&[row], 80, 24, false).len(), 2);
}

#[test]
fn the_map_shows_shares_and_is_full_only_when_all_is_there() {
    for pieces in [1, 2, 4095, 4096, 4097, 10_000, 1_000_003] {
        let full = map(&Bits::full(pieces));
        assert!(full.iter().all(|level| *level == 8), "{pieces}");
        assert_eq!(full.len(), pieces.min(4096) as usize);
        assert!(map(&Bits::new(pieces)).iter().all(|level| *level == 0));
    }
    assert!(map(&Bits::new(0)).is_empty());
}

#[test]
fn a_plain_line_says_it_in_words() {
    assert_eq!(
        plain(&torrent("x", Phase::Downloading)),
        "x, 26.6%, 1.2 GiB of 4.5 GiB, down 12.3 MiB/s, up 1.2 MiB/s, ETA 4:34, 34 peers (12 seeds, 3 over uTP)"
    );
    let fed = Row { peers: 0, seeds: 0, utp: 0, web_seeds: 1, ..torrent("x", Phase::Downloading) };
    assert!(plain(&fed).ends_with("0 peers (0 seeds), 1 web seed"), "{}", plain(&fed));
    assert!(plain(&torrent("x", Phase::Metadata)).contains("looking for the metadata"));
}
