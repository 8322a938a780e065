//! How the progress display is laid out: torrents in, lines out for a width and a height. Pure.
//!
//! Columns have fixed widths, so nothing shifts with the digits. Where there is no room, whole columns go,
//! what matters least first; the bar and the name take what is left.

use console::{Alignment, measure_text_width, pad_str, style, truncate_str};

use super::super::units::{rate, size};
use super::cells::{eta, number_in_unit, percent, short_percent, speed};

/// What a torrent is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Its metadata is being looked for.
    Metadata,
    /// Its data is being hashed; `done` counts what is hashed, and the rate of that is in `down_rate`.
    Checking,
    /// Files are hashed for `create` or `verify`; the rate is in `down_rate`.
    Hashing,
    /// It is being fetched.
    Downloading,
    /// It stands still by an error.
    Failed,
    /// It is complete and uploads.
    Seeding,
    /// It stands still by the user's wish.
    Paused,
}

/// One torrent, or all of them.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called; nothing in it steers a terminal.
    pub name: String,
    pub phase: Phase,
    /// Wanted bytes that are here, and all.
    pub done: u64,
    pub length: u64,
    /// Bytes per second.
    pub down_rate: u64,
    pub up_rate: u64,
    /// Bytes uploaded in all runs.
    pub uploaded: u64,
    pub peers: u32,
    pub seeds: u32,
    /// Peers over uTP.
    pub utp: u32,
    /// Web seeds of which something is asked.
    pub web_seeds: u32,
    /// Why nothing moves.
    pub note: Option<String>,
    /// Which parts are here, first to last, in eighths.
    pub map: Vec<u8>,
}

/// A column, in the order in which they stand on the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Percent,
    Size,
    Down,
    Up,
    Eta,
    Peers,
    Seeds,
    Web,
}

const ORDER: [Column; 8] = [
    Column::Percent,
    Column::Size,
    Column::Down,
    Column::Up,
    Column::Eta,
    Column::Peers,
    Column::Seeds,
    Column::Web,
];

/// Fewest cells of a bar; less says nothing.
const MIN_BAR: usize = 8;
/// Cells of a bar that shows well how far it is.
const GOOD_BAR: usize = 24;
/// Most cells of a name among several.
const MAX_NAME: usize = 60;
/// Cells in each part of the map.
pub const EIGHTHS: u8 = 8;

impl Column {
    fn width(self) -> usize {
        match self {
            Self::Percent => 6,
            Self::Size => 15,
            Self::Down | Self::Up => 12,
            Self::Eta => 10,
            Self::Peers | Self::Seeds => 9,
            Self::Web => 13,
        }
    }

    /// What stands in it; the name says already that a torrent is being checked, if it is `named`.
    fn text(self, row: &Row, named: bool) -> String {
        let moving = matches!(row.phase, Phase::Downloading | Phase::Seeding);
        match self {
            Self::Percent if row.phase == Phase::Metadata => String::new(),
            Self::Percent => percent(row.done, row.length),
            Self::Size if row.length == 0 => String::new(),
            Self::Size => number_in_unit(row.done, row.length),
            Self::Down if moving && row.phase != Phase::Seeding => {
                format!("{}{}", style("↓").green().for_stderr(), speed(row.down_rate))
            }
            Self::Down if matches!(row.phase, Phase::Hashing | Phase::Checking) => {
                format!(" {}", speed(row.down_rate))
            }
            Self::Up if moving => {
                format!("{}{}", style("↑").blue().for_stderr(), speed(row.up_rate))
            }
            Self::Down | Self::Up => String::new(),
            Self::Eta if row.phase == Phase::Checking && !named => {
                style("checking").yellow().for_stderr().to_string()
            }
            Self::Eta => state(row),
            Self::Peers | Self::Seeds | Self::Web if row.phase == Phase::Checking => String::new(),
            Self::Web if row.web_seeds == 0 => String::new(),
            Self::Web => {
                format!("{:>3} {}", short_count(row.web_seeds), plural(row.web_seeds, "web seed"))
            }
            Self::Peers => format!("{:>3} {}", short_count(row.peers), plural(row.peers, "peer")),
            Self::Seeds => format!("{:>3} {}", short_count(row.seeds), plural(row.seeds, "seed")),
        }
    }
}

fn short_count(count: u32) -> String {
    if count < 1000 { count.to_string() } else { format!("{}k", (count / 1000).min(99)) }
}

fn plural(count: u32, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

/// The time left, or what it does instead of fetching.
fn state(row: &Row) -> String {
    match row.phase {
        Phase::Metadata => "metadata".into(),
        Phase::Failed => style("failed").red().for_stderr().to_string(),
        Phase::Paused => "paused".into(),
        Phase::Downloading if row.note.is_some() && row.down_rate == 0 => {
            style("stalled").yellow().for_stderr().to_string()
        }
        Phase::Downloading | Phase::Hashing | Phase::Checking => {
            eta(row.length.saturating_sub(row.done), row.down_rate)
        }
        Phase::Seeding if row.length == 0 => "done".into(),
        Phase::Seeding => {
            let ratio = row.uploaded as f64 / row.length as f64;
            format!("ratio {:>4}", format!("{ratio:.2}").get(..4).unwrap_or("9999"))
        }
    }
}

/// Which columns there is room for, and how wide name and bar are.
struct Plan {
    columns: Vec<Column>,
    /// The percentage without its fraction.
    short: bool,
    name: usize,
    /// There is room in a name for what is done with it.
    named: bool,
    /// How all names begin, where the column would show nothing else.
    shared: String,
    bar: usize,
    gap: usize,
}

/// Width from which names say what is done with a torrent that is not usual.
const NAMING: usize = 60;

/// How the names of several torrents begin, up to a number in which they differ.
fn shared_start(rows: &[Row]) -> String {
    let [first, others @ ..] = rows else { return String::new() };
    if others.is_empty() {
        return String::new();
    }
    let alike = |other: &Row| {
        let both = first.name.chars().zip(other.name.chars());
        both.take_while(|(one, other)| one == other).count()
    };
    let count = others.iter().map(alike).min().unwrap_or(0);
    let shared: String = first.name.chars().take(count).collect();
    shared.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

/// What it is called, and that it is being checked.
fn called(row: &Row) -> String {
    match row.phase {
        Phase::Checking => format!("checking {}", row.name),
        _ => row.name.clone(),
    }
}

/// What there could be in a line, what matters most first.
struct Wishes {
    /// How fast it does what it does, and how fast it does the other thing.
    main: Column,
    other: Column,
    /// Something comes from web seeds; where no peer is connected, they stand in the place of peers.
    web: bool,
    alone: bool,
}

impl Wishes {
    fn of(rows: &[Row]) -> Self {
        let seeding = rows.iter().all(|row| row.phase == Phase::Seeding);
        let (main, other) =
            if seeding { (Column::Up, Column::Down) } else { (Column::Down, Column::Up) };
        let web = rows.iter().any(|row| row.web_seeds > 0);
        let alone = web && rows.iter().all(|row| row.peers == 0);
        Self { main, other, web, alone }
    }

    /// All columns; nothing stands for the bar.
    fn all(&self) -> Vec<Option<Column>> {
        let mut least = self.least().into_iter().map(Some);
        let mut all = vec![Some(Column::Eta), Some(self.main), None];
        all.extend(least.by_ref().take(2));
        all.push(Some(Column::Size));
        all.extend(least);
        all
    }

    /// Those that say how far it is.
    fn most(&self) -> [Option<Column>; 4] {
        [Some(Column::Eta), Some(self.main), None, Some(Column::Size)]
    }

    /// The others.
    fn least(&self) -> Vec<Column> {
        match (self.web, self.alone) {
            (false, _) => vec![Column::Peers, self.other, Column::Seeds],
            (true, true) => vec![Column::Web, self.other, Column::Peers, Column::Seeds],
            (true, false) => vec![Column::Peers, self.other, Column::Web, Column::Seeds],
        }
    }
}

fn gap(width: usize) -> usize {
    if width < 100 { 1 } else { 2 }
}

impl Plan {
    /// For lines of `width` cells with as many of these columns as fit, each with a name in front where
    /// there are `several`.
    fn new(rows: &[Row], width: usize, several: bool, wishes: &[Option<Column>]) -> Self {
        let gap = gap(width);
        let named = width >= NAMING;
        let shown = |row: &Row| if named { called(row) } else { row.name.clone() };
        let longest = rows.iter().map(|row| measure_text_width(&shown(row))).max().unwrap_or(0);
        let least_name = match (several, width) {
            (false, _) => 0,
            (_, ..NAMING) => 8,
            _ => longest.clamp(16, 28),
        };
        let short = width < 30;
        let first = if short { 4 } else { Column::Percent.width() };
        let mut used = first + if several { least_name + gap } else { 0 };
        let mut columns = vec![Column::Percent];
        let mut has_bar = false;
        for wish in wishes.iter().copied() {
            let needs = gap + wish.map_or(MIN_BAR, Column::width);
            if used + needs > width {
                continue;
            }
            used += needs;
            match wish {
                Some(column) => columns.push(column),
                None => has_bar = true,
            }
        }
        let mut left = width.saturating_sub(used);
        let mut name = if several { least_name.min(width.saturating_sub(first + gap)) } else { 0 };
        if several {
            // Half of what is left for names that need it, all where there is no bar.
            let more = longest.min(MAX_NAME).saturating_sub(name);
            let more = more.min(if has_bar { left * 2 / 3 } else { left });
            name += more;
            left -= more;
        }
        columns.sort_by_key(|column| ORDER.iter().position(|other| other == column));
        let bar = if has_bar { MIN_BAR + left } else { 0 };
        let mut shared = shared_start(&rows[..rows.len().saturating_sub(1)]);
        if !several || measure_text_width(&shared) + 1 < name {
            shared.clear();
        }
        Self { columns, short, name, named: named || !several, shared, bar, gap }
    }

    /// The name as it fits: its end, where all begin alike.
    fn name(&self, row: &Row) -> String {
        let mut row = row.clone();
        let own = row.name.strip_prefix(&self.shared).filter(|_| !self.shared.is_empty());
        if let Some(own) = own.filter(|_| measure_text_width(&row.name) > self.name) {
            row.name = format!("…{own}");
        }
        let name = if self.named { called(&row) } else { row.name };
        truncate_str(&name, self.name, "…").into_owned()
    }

    fn line(&self, row: &Row) -> String {
        let mut parts = Vec::new();
        if self.name > 0 {
            parts.push(pad_str(&self.name(row), self.name, Alignment::Left, None).into_owned());
        }
        if self.bar > 0 {
            parts.push(bar(row, self.bar));
        }
        for column in &self.columns {
            let (text, width) = match column {
                Column::Percent if self.short && row.phase == Phase::Metadata => (String::new(), 4),
                Column::Percent if self.short => (short_percent(row.done, row.length), 4),
                column => (column.text(row, self.named), column.width()),
            };
            let side = match column {
                Column::Percent | Column::Size => Alignment::Right,
                _ => Alignment::Left,
            };
            parts.push(pad_str(&text, width, side, None).into_owned());
        }
        parts.join(&" ".repeat(self.gap)).trim_end().to_owned()
    }
}

/// A bar of `width` cells, to half a cell.
fn bar(row: &Row, width: usize) -> String {
    if row.phase == Phase::Metadata {
        return style("─".repeat(width)).dim().for_stderr().to_string();
    }
    let halves = match row.length {
        0 => 2 * width,
        length => (u128::from(row.done) * 2 * width as u128 / u128::from(length)) as usize,
    };
    let halves = halves.min(2 * width);
    let (full, half) = (halves / 2, halves % 2);
    let filled = format!("{}{}", "━".repeat(full), if half == 1 { "╸" } else { "" });
    let filled = match row.phase {
        Phase::Checking | Phase::Hashing => style(filled).yellow(),
        Phase::Failed => style(filled).red(),
        Phase::Seeding => style(filled).green(),
        _ => style(filled).cyan(),
    };
    let rest = style("─".repeat(width - full - half)).dim();
    format!("{}{}", filled.for_stderr(), rest.for_stderr())
}

/// The map of pieces in at most `width` cells.
fn map(row: &Row, width: usize) -> String {
    const LEVELS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let cells = width.min(row.map.len());
    let cell = |cell: usize| {
        let (begin, end) = (cell * row.map.len() / cells, (cell + 1) * row.map.len() / cells);
        let part = &row.map[begin..end];
        let sum: usize = part.iter().map(|level| usize::from(*level)).sum();
        // Full is only what is full, and empty what is empty.
        let level = sum / part.len();
        LEVELS[if sum > 0 { level.max(1) } else { 0 }]
    };
    let text: String = (0..cells).map(cell).collect();
    style(text).cyan().for_stderr().to_string()
}

/// A line for where nothing is redrawn.
pub fn plain(row: &Row) -> String {
    let mut parts = vec![row.name.clone()];
    if row.phase != Phase::Metadata {
        parts.push(percent(row.done, row.length).trim().to_owned());
        parts.push(format!("{} of {}", size(row.done), size(row.length)));
    }
    match row.phase {
        Phase::Metadata => parts.push("looking for the metadata".into()),
        Phase::Checking | Phase::Hashing => {
            let what = if row.phase == Phase::Checking { "checking at " } else { "" };
            parts.push(format!("{what}{}", rate(row.down_rate)));
            parts.push(eta_text(row));
            return parts.join(", ");
        }
        Phase::Failed => parts.push("failed".into()),
        Phase::Paused => parts.push("paused".into()),
        Phase::Downloading => {
            parts.push(format!("down {}", rate(row.down_rate)));
            parts.push(format!("up {}", rate(row.up_rate)));
            parts.push(eta_text(row));
        }
        Phase::Seeding => parts.push(format!("up {}", rate(row.up_rate))),
    }
    let (peers, seeds) = (plural(row.peers, "peer"), plural(row.seeds, "seed"));
    let utp = if row.utp > 0 { format!(", {} over uTP", row.utp) } else { String::new() };
    parts.push(format!("{} {peers} ({} {seeds}{utp})", row.peers, row.seeds));
    if row.web_seeds > 0 {
        parts.push(format!("{} {}", row.web_seeds, plural(row.web_seeds, "web seed")));
    }
    parts.join(", ")
}

fn eta_text(row: &Row) -> String {
    let eta = eta(row.length.saturating_sub(row.done), row.down_rate);
    eta.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All torrents in one row.
pub fn summary(rows: &[Row], name: String) -> Row {
    let sum = |value: fn(&Row) -> u64| rows.iter().map(value).fold(0, u64::saturating_add);
    let any = |phase| rows.iter().any(|row| row.phase == phase);
    let phases = [Phase::Downloading, Phase::Checking, Phase::Metadata, Phase::Seeding];
    let phase = phases.into_iter().find(|phase| any(*phase)).unwrap_or(Phase::Paused);
    // What is hashed is not fetched.
    let alike = |row: &&Row| (row.phase == Phase::Checking) == (phase == Phase::Checking);
    Row {
        name,
        phase,
        done: sum(|row| row.done),
        length: sum(|row| row.length),
        down_rate: rows.iter().filter(alike).map(|row| row.down_rate).fold(0, u64::saturating_add),
        up_rate: sum(|row| row.up_rate),
        uploaded: sum(|row| row.uploaded),
        peers: rows.iter().map(|row| row.peers).fold(0, u32::saturating_add),
        seeds: rows.iter().map(|row| row.seeds).fold(0, u32::saturating_add),
        utp: rows.iter().map(|row| row.utp).fold(0, u32::saturating_add),
        web_seeds: rows.iter().map(|row| row.web_seeds).fold(0, u32::saturating_add),
        note: None,
        map: Vec::new(),
    }
}

/// The lines for a terminal with these numbers of columns and rows; none is as wide as the terminal, and there are
/// fewer than it has rows.
pub fn lines(rows: &[Row], columns: usize, height: usize, verbose: bool) -> Vec<String> {
    let width = columns.saturating_sub(1).max(1);
    let height = height.saturating_sub(1).max(1);
    let mut lines = match rows {
        [] => Vec::new(),
        [only] => single(only, width, height, verbose),
        several => table(several, width, height, verbose),
    };
    lines.truncate(height);
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

/// The line for torrents that are complete and not in memory.
pub fn resting(count: u32) -> String {
    format!(
        "{count} {} complete and waiting for peers",
        if count == 1 { "torrent is" } else { "torrents are" }
    )
}

fn single(row: &Row, width: usize, height: usize, verbose: bool) -> Vec<String> {
    let rows = std::slice::from_ref(row);
    let wishes = Wishes::of(rows);
    let mut plan = Plan::new(rows, width, false, &wishes.all());
    let mut beside = Vec::new();
    // Files have no peers. Where little would be left for the bar, what matters least stands beside the name.
    let hashing = matches!(row.phase, Phase::Hashing | Phase::Checking);
    if hashing || (plan.bar < GOOD_BAR && height > 1) {
        plan = Plan::new(rows, width, false, &wishes.most());
        beside.extend(wishes.least().into_iter().filter(|_| !hashing));
    }
    let mut lines = Vec::new();
    if height > 1 {
        lines.push(heading(row, width, &beside));
    }
    lines.push(plan.line(row));
    lines.extend(row.note.as_deref().map(note));
    if verbose && !row.map.is_empty() {
        lines.push(map(row, width));
        lines.push(legend(width));
    }
    lines
}

/// The name, and as many of these columns as it leaves room for.
fn heading(row: &Row, width: usize, columns: &[Column]) -> String {
    let gap = gap(width);
    let mut name = width;
    let mut shown = Vec::new();
    let called = called(row);
    let needed = measure_text_width(&called).min(MAX_NAME);
    for column in columns {
        if let Some(left) = name.checked_sub(gap + column.width()).filter(|left| *left >= needed) {
            name = left;
            shown.push(*column);
        }
    }
    shown.sort_by_key(|column| ORDER.iter().position(|other| other == column));
    let text = truncate_str(&called, name, "…");
    let mut parts =
        vec![style(pad_str(&text, name, Alignment::Left, None)).bold().for_stderr().to_string()];
    let cell = |column: &Column| {
        pad_str(&column.text(row, true), column.width(), Alignment::Left, None).into_owned()
    };
    parts.extend(shown.iter().map(cell));
    parts.join(&" ".repeat(gap)).trim_end().to_owned()
}

fn note(text: &str) -> String {
    style(text).yellow().for_stderr().to_string()
}

/// What the bar and the map mean, in as many words as there is room for.
fn legend(width: usize) -> String {
    let texts = [
        "bar: ━ here, ─ missing; below: pieces from first to last, █ verified, ▄ partly, · missing",
        "bar: ━ here, ─ missing; pieces: █ verified, ▄ partly, · missing",
        "━ █ here, ▄ partly, ─ · missing",
    ];
    let fitting = texts.iter().find(|text| measure_text_width(text) <= width);
    style(fitting.unwrap_or(&texts[2])).dim().for_stderr().to_string()
}

fn table(rows: &[Row], width: usize, height: usize, verbose: bool) -> Vec<String> {
    // What is at work comes first, in the order that was given.
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| row.phase);
    let room = height.saturating_sub(1);
    let shown = order.len().min(room);
    let hidden = order.len() - shown;
    let name = match hidden {
        0 => format!("all {}", rows.len()),
        _ => format!("all {}, {hidden} not shown", rows.len()),
    };
    let total = summary(rows, name);
    let mut all: Vec<Row> = order[..shown].iter().map(|row| (*row).clone()).collect();
    all.push(total);
    let plan = Plan::new(&all, width, true, &Wishes::of(&all).all());
    if hidden > 0 {
        let short = [format!("+{hidden} of {}", rows.len()), format!("+{hidden} more")];
        let names = [all[shown].name.clone()].into_iter().chain(short);
        let fitting = names.into_iter().find(|name| measure_text_width(name) <= plan.name);
        all[shown].name = fitting.unwrap_or(format!("+{hidden}"));
    }
    // Lines below torrents, as many as fit.
    let mut spare = room - shown;
    let legends = usize::from(verbose && spare > 1);
    spare -= legends;
    let mut lines = Vec::new();
    for row in &all[..shown] {
        lines.push(plan.line(row));
        if let Some(text) = row.note.as_deref().filter(|_| spare > 0) {
            spare -= 1;
            lines.push(format!("  {}", note(text)));
        }
        if verbose && !row.map.is_empty() && spare > 0 {
            spare -= 1;
            lines.push(format!("  {}", map(row, width.saturating_sub(2))));
        }
    }
    lines.push(style(plan.line(&all[shown])).bold().for_stderr().to_string());
    lines.extend((legends > 0).then(|| legend(width)));
    lines
}
