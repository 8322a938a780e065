//! The committed table of how µTP shares a link: what it claims, and that it is still so.

use eddyline_utp_sim::fairness::{Cell, HEAD};

const TABLE: &str = include_str!("../fairness.txt");

/// Alone it fills less than 95 %: thousands of packets are lost when slow start meets a buffer of a tenth of the path,
/// and they are not made up for in the first minute.
const SLOW_TO_RECOVER: &[(u64, u64, u64)] = &[(300, 100, 1), (300, 1_000, 1)];

/// It takes more than a tenth beside Reno. With a tenth of a path as buffer, Reno alone leaves a part of the link
/// unused. With a whole one of 100 ms or more, a window of Reno takes minutes to fill what is above our target, and
/// what came later takes the shortest of its queues for that of an empty path.
const MORE_BESIDE_RENO: &[(u64, u64, u64)] =
    &[(100, 100, 1), (100, 100, 10), (100, 100, 40), (300, 10, 1), (300, 100, 1), (300, 100, 10)];

/// The same beside CUBIC.
const MORE_BESIDE_CUBIC: &[(u64, u64, u64)] = &[(300, 100, 1)];

struct Row {
    cell: (u64, u64, u64),
    alone: (u64, u64, u64),
    reno: u64,
    cubic: u64,
    two: [u64; 2],
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let numbers = |text: &str| -> Vec<u64> {
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    lines
        .map(|line| {
            let groups: Vec<Vec<u64>> = line.split('|').map(numbers).collect();
            let most = |group: usize| {
                groups.get(group).and_then(|shares| shares.iter().max().copied()).unwrap_or(0)
            };
            let two = groups.get(4).map_or([500; 2], |shares| [shares[0], shares[1]]);
            Row {
                cell: (groups[0][0], groups[0][1], groups[0][2]),
                alone: (groups[1][0], groups[1][1], groups[1][2]),
                reno: most(2),
                cubic: if groups.len() > 4 { most(3) } else { 0 },
                two,
            }
        })
        .collect()
}

#[test]
fn alone_it_fills_the_link_with_a_queue_no_longer_than_meant() {
    let rows = rows();
    assert_eq!(rows.len(), Cell::all().count());
    let slow: Vec<_> = rows.iter().filter(|row| row.alone.0 < 950).map(|row| row.cell).collect();
    assert_eq!(slow, SLOW_TO_RECOVER);
    for Row { cell, alone: (_, wait, target), .. } in rows {
        assert!(wait <= target && target <= 75_000, "{cell:?}: {wait} of {target}");
    }
}

#[test]
fn beside_tcp_it_takes_at_most_a_tenth() {
    let more = |share: fn(&Row) -> u64| -> Vec<_> {
        rows().iter().filter(|row| share(row) > 100).map(|row| row.cell).collect()
    };
    assert_eq!(more(|row| row.reno), MORE_BESIDE_RENO);
    assert_eq!(more(|row| row.cubic), MORE_BESIDE_CUBIC);
}

/// Where the path holds fewer than eighty packets, or a buffer overflows before delays say much, a packet more or less
/// decides, and the table shows how unequal that may be.
#[test]
fn two_of_its_kind_share_within_a_fifth_also_when_one_comes_late() {
    let wide = |row: &&Row| row.cell.0 * row.cell.1 >= 1_000 && row.cell.2 >= 10;
    for Row { cell, two, .. } in rows().iter().filter(wide) {
        assert!(two.iter().all(|share| (400..=600).contains(share)), "{cell:?}: {two:?}");
    }
}

#[test]
fn the_table_is_what_comes_out() {
    assert!(TABLE.starts_with(HEAD));
    let narrow = Cell::all().filter(|cell| cell.rate <= 10 && cell.buffer == 10);
    for cell in narrow {
        let row = cell.row();
        assert!(TABLE.lines().any(|line| line == row), "{row}");
    }
}
