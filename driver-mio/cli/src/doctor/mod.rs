//! `doctor`: what the network and the disk allow, said plainly. Each check has a file of its own; those that need a
//! driver that runs share one run (`run.rs`).

mod clock;
mod dht;
mod disk;
mod families;
mod filter;
mod interfaces;
mod limits;
mod names;
mod port;
mod proxy;
mod report;
mod run;
mod trackers;

use std::process::ExitCode;

use eddyline_mio::network::NetworkPolicy;
use eddyline_session::Source;

use super::args::{DoctorArgs, General};
use super::exit::{Failure, UNEXPECTED};
use super::output::{json, line, say};
use super::setup::{Setup, names};
use super::signals::{Ended, Signals};
use super::source::load;
use report::{Check, Report};
use run::Run;

/// Looks at everything, and says how it is.
pub fn doctor(args: &DoctorArgs, general: General) -> Result<ExitCode, Failure> {
    let flags = &args.transfer;
    let allowed = names(&flags.network.way)?;
    let source = args.source.as_deref().map(|text| load(text, &allowed)).transpose()?;
    let signals = Signals::listen()
        .map_err(|error| Failure::new(UNEXPECTED, format!("cannot listen for signals: {error}")))?;
    let policy = allowed.policy().clone();
    let mut checks = vec![interfaces::check(&policy), families::check(&policy)];
    if !general.quiet {
        let seconds = args.timeout.as_secs();
        say(&format!("asking the network, for {seconds} s at most; Ctrl-C stops"));
    }
    let run = match ask(args, general, source, &policy, &signals)? {
        Ended::Done((run, found)) => {
            checks.extend(found);
            run
        }
        Ended::BySignal(code) => return Ok(ExitCode::from(code)),
    };
    checks.push(clock::check());
    checks.push(disk::check(&args.dir));
    checks.push(limits::check());
    let report = Report { ok: checks.iter().all(|check| check.verdict.is_fine()), checks };
    if flags.json {
        json(&report);
    } else {
        report.lines(general.verbose).iter().for_each(|text| line(text));
    }
    // Trackers that are silent may take seconds to hear that we leave: nobody has to wait for the report meanwhile.
    run.map_or(Ok(()), Run::stop)?;
    Ok(ExitCode::from(report.code()))
}

/// What was found by a run, and the run, which is to be stopped; there is none where it could not begin.
type Asked = (Option<Run>, Vec<Check>);

/// Finds out what only shows when the network is used.
fn ask(
    args: &DoctorArgs,
    general: General,
    source: Option<Source>,
    policy: &NetworkPolicy,
    signals: &Signals,
) -> Result<Ended<Asked>, Failure> {
    let sources: Vec<String> = args.source.iter().cloned().collect();
    let setup = Setup::from_flags("doctor", &args.transfer, &sources)?;
    let has_lists = setup.lists.is_some();
    let mut run = match Run::start(setup, args, source)? {
        Ok(run) => run,
        // Without a port nothing else can be asked.
        Err(failure) => return Ok(Ended::Done((None, vec![port::closed(&failure)]))),
    };
    let asked = names::Asked::ask(&run, args.timeout);
    if let Ended::BySignal(code) = run.wait(signals, args.timeout)? {
        run.stop()?;
        return Ok(Ended::BySignal(code));
    }
    let checks = [
        asked.check(),
        Some(port::check(&run)),
        dht::check(&run, policy),
        filter::check(has_lists, run.session().driver.engine().filter()),
        proxy::check(run.names().policy()),
        trackers::check(&run, general.verbose),
    ];
    Ok(Ended::Done((Some(run), checks.into_iter().flatten().collect())))
}
