//! What of a display stands on the terminal, and how that is replaced, whatever the terminal has done to it
//! meanwhile.
//!
//! Between two pictures the cursor is at the start of the first line. Most terminals break what stands there into more
//! rows when they become narrower, some of them a while before they say so, and others cut it off; all keep the cursor
//! at what it was at. So what is below it is ours, in however many rows it is now, and what is above it is not.

/// Terminals that know it show all that is between these at once. Lines are cut, not broken, where they are too long
/// without our knowing: a picture has as many rows as lines when it is drawn, at any width. The cursor would stand on
/// the first letter.
const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?2026l";
/// Removes what is in the row of the cursor and below. A terminal whose whole screen is cleared at once keeps what was
/// there, and each picture would stay in what one can scroll back to: so the first row is cleared by itself.
const CLEAR: &str = "\r\x1b[2K\x1b7\x1b[B\x1b[J\x1b8";
/// The same of others' text, which may be in front of the cursor.
const CLEAR_BEHIND: &str = "\x1b[J";
const UP: &str = "\x1b[A";
const NEXT_ROW: &str = "\r\x1b[B";
const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// The lines that stand at the bottom of a terminal.
#[derive(Debug)]
pub struct Picture {
    lines: Vec<String>,
    /// Columns and rows when they were drawn.
    size: (usize, usize),
}

impl Picture {
    /// Nothing stands there.
    pub const fn new() -> Self {
        Self { lines: Vec::new(), size: (0, 0) }
    }

    /// Whether nothing stands there.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Nothing of ours stands on the terminal, or it cannot be told any more where it does.
    pub fn forget(&mut self) {
        self.lines.clear();
    }

    /// What brings these lines in the place of those that stand there; nothing where they are the same.
    pub fn drawing(&self, lines: &[String], size: (usize, usize)) -> Option<String> {
        if self.lines == lines && self.size == size {
            return None;
        }
        let clear = if self.is_empty() { CLEAR_BEHIND } else { CLEAR };
        // The terminal scrolls only where there may be too little room: one that has become lower and has not said so
        // keeps what is above.
        let has_room = lines.len() <= self.lines.len() && self.size.1 == size.1;
        let more = if has_room { 0 } else { lines.len().saturating_sub(1) };
        let room = format!("{}\r{}", "\n".repeat(more), UP.repeat(more));
        let lines = lines.join(NEXT_ROW);
        Some(format!("{BEGIN}{clear}{room}{SAVE}{lines}{RESTORE}{END}"))
    }

    /// These lines stand there now.
    pub fn drawn(&mut self, lines: Vec<String>, size: (usize, usize)) {
        (self.lines, self.size) = (lines, size);
    }

    /// What removes the lines that stand there.
    pub fn erasing(&self) -> String {
        if self.is_empty() { String::new() } else { format!("{CLEAR}{SHOW_CURSOR}") }
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is left on a terminal that breaks its lines again when its width changes.

    use avt::Terminal;

    use super::Picture;

    const HEIGHT: usize = 24;

    /// A terminal on which others have written, and the program with its display.
    struct Bench {
        terminal: Terminal,
        picture: Picture,
        above: usize,
        /// What the program believes.
        size: (usize, usize),
        drawn: usize,
    }

    impl Bench {
        fn new(columns: usize, above: usize) -> Self {
            let mut terminal = Terminal::with_scrollback(columns, HEIGHT, None).unwrap();
            (0..above).for_each(|line| terminal.feed(format!("$ {line}\r\n")));
            Self { terminal, picture: Picture::new(), above, size: (columns, HEIGHT), drawn: 0 }
        }

        /// The terminal has this size, and has not said so.
        fn becomes(&mut self, columns: usize, rows: usize) {
            self.terminal.resize(columns, rows);
        }

        /// The program is told, and draws a picture of `count` lines.
        fn told(&mut self, columns: usize, rows: usize, count: usize) {
            self.size = (columns, rows);
            self.draw(count);
        }

        /// Draws `count` lines, as wide as they may be.
        fn draw(&mut self, count: usize) {
            self.drawn += 1;
            let columns = self.size.0;
            let whole = |line| format!("漢{line} frame {} {}", self.drawn, "=".repeat(columns));
            let fit = |line: String| console::truncate_str(&line, columns - 1, "").into_owned();
            let lines: Vec<String> = (0..count.min(self.size.1 - 1)).map(whole).map(fit).collect();
            let text = self.picture.drawing(&lines, self.size).unwrap();
            self.picture.drawn(lines, self.size);
            self.feed(&text);
        }

        /// As the system writes lines of a program to a terminal.
        fn feed(&mut self, text: &str) {
            self.terminal.feed(text.replace('\n', "\r\n"));
        }

        /// The rows that are not empty, also those that one can scroll back to.
        fn rows(&self) -> Vec<String> {
            let all = self.terminal.screen().all_lines();
            let rows = all.map(|line| line.text().trim_end().to_owned());
            rows.filter(|row| !row.is_empty()).collect()
        }

        /// Every row is one of the last picture, or stood there before.
        fn check(&self, count: usize, when: &str) {
            let rows = self.rows();
            let (above, ours) = rows.split_at(self.above);
            let is_there = |(line, row): (usize, &String)| *row == format!("$ {line}");
            assert!(above.iter().enumerate().all(is_there), "{when}: {rows:#?}");
            let last = format!("frame {} ", self.drawn);
            let all = ours.iter().all(|row| row.contains(&last));
            assert!(all && ours.len() == count, "{when}: {rows:#?}");
        }
    }

    #[test]
    fn a_terminal_of_another_width_shows_the_last_picture_alone_and_what_was_above() {
        for widths in [[200, 120, 80, 40, 20, 80], [40, 80, 20, 21, 120, 39]] {
            // `late` pictures are drawn before the program is told.
            for (late, above) in [(0, 60), (1, 60), (2, 60), (0, 4), (1, 4)] {
                let mut bench = Bench::new(120, above);
                (0..3).for_each(|_| bench.draw(5));
                for width in widths {
                    bench.becomes(width, HEIGHT);
                    (0..late).for_each(|more| bench.draw(4 + more));
                    bench.told(width, HEIGHT, 5);
                    bench.check(5, &format!("{width} columns, {late} late, below {above}"));
                    (0..2).for_each(|_| bench.draw(5));
                }
                bench.draw(7);
                bench.draw(2);
                bench.check(2, "at one width");
                let erasing = bench.picture.erasing();
                bench.feed(&erasing);
                bench.check(0, "at the end");
            }
        }
    }

    #[test]
    fn what_others_wrote_is_not_removed_however_narrow_a_terminal_becomes() {
        for count in [1, 5, 20] {
            for width in [1, 2, 3, 10, 50] {
                let mut bench = Bench::new(100, 4);
                bench.draw(count);
                bench.becomes(width, HEIGHT);
                bench.draw(count);
                bench.told(width.max(2), HEIGHT, count);
                bench.becomes(100, HEIGHT);
                bench.told(100, HEIGHT, count);
                let erasing = bench.picture.erasing();
                bench.feed(&erasing);
                let rows = bench.rows();
                let all: Vec<&str> = rows.iter().map(String::as_str).take(4).collect();
                assert_eq!(all, ["$ 0", "$ 1", "$ 2", "$ 3"], "{count} lines, {width} columns");
            }
        }
    }

    #[test]
    fn a_terminal_that_becomes_lower_and_higher_again_shows_the_last_picture_alone() {
        for above in [3, 60] {
            let mut bench = Bench::new(80, above);
            bench.draw(13);
            for height in [6, 4, 7, 2, 24, 30] {
                bench.becomes(80, height);
                bench.draw(13);
                bench.told(80, height, 13);
                bench.check(13.min(height - 1), &format!("{height} rows"));
            }
        }
    }
}
