//! Prints the table of how µTP shares a link.

use std::process::ExitCode;
use std::thread;

use eddyline_utp_sim::fairness::{Cell, HEAD};

fn main() -> ExitCode {
    let cells: Vec<Cell> = Cell::all().collect();
    let workers = thread::available_parallelism().map_or(1, |count| count.get());
    let rows: Vec<Option<String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|first| {
                let own = cells.iter().copied().enumerate().skip(first).step_by(workers);
                scope.spawn(move || own.map(|(at, cell)| (at, cell.row())).collect::<Vec<_>>())
            })
            .collect();
        let mut rows = vec![None; cells.len()];
        for (at, row) in threads.into_iter().filter_map(|thread| thread.join().ok()).flatten() {
            rows[at] = Some(row);
        }
        rows
    });
    print!("{HEAD}");
    for row in &rows {
        let Some(row) = row else { return ExitCode::FAILURE };
        println!("{row}");
    }
    ExitCode::SUCCESS
}
