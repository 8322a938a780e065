//! Long runs in the simulated world: one large swarm, or any number of random scenarios.

fn main() -> std::process::ExitCode {
    eddyline_sim::command_line::run()
}
