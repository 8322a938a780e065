//! Going through a run, forwards and backwards.

use std::process::ExitCode;

use eddyline::trace::{Condition, Replayer, Trace, Watch, changes};

use super::super::exit::Failure;
use super::super::output::{line, printable};
use super::transcript::{Subject, Transcript, brief, describe_actions, heading};
use super::{damaged, quietly};

/// Changes shown at once; a step seldom has more.
const MAX_CHANGES: usize = 200;

/// A place in a run.
#[derive(Debug)]
pub struct Tour {
    replayer: Replayer,
}

impl Tour {
    /// At the beginning.
    pub fn start(trace: Trace) -> Result<Self, Failure> {
        Ok(Self { replayer: Replayer::new(trace).map_err(damaged)? })
    }

    /// Behind which step we are.
    pub fn position(&self) -> u64 {
        self.replayer.position()
    }

    /// Number of steps.
    pub fn len(&self) -> u64 {
        self.replayer.trace().len()
    }

    /// Goes behind step `number`.
    pub fn go_to(&mut self, number: u64) -> Result<(), Failure> {
        let replayer = &mut self.replayer;
        match quietly(|| replayer.go_to(number)) {
            Ok(outcome) => outcome.map_err(damaged),
            Err(why) => {
                // The state is worth nothing after that; the step before can be looked at.
                let at = self.replayer.position() + 1;
                line(&format!("the engine breaks down in step {at}: {why}"));
                self.replayer.go_to(at.saturating_sub(1)).map_err(damaged)
            }
        }
    }

    /// Goes on until `condition` comes about. False, and no move, when it never does.
    pub fn until(&mut self, condition: Condition) -> Result<bool, Failure> {
        let mut ahead = self.replayer.clone();
        let mut watch = self.watch(condition, &ahead);
        while ahead.forward().map_err(damaged)?.is_some() {
            let actions = ahead.last().map_or(&[][..], |last| &last.actions);
            if watch.after_step(ahead.engine(), actions) {
                self.replayer = ahead;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes back to where `condition` came about last. False, and no move, when it never did.
    pub fn back_until(&mut self, condition: Condition) -> Result<bool, Failure> {
        let here = self.replayer.position();
        let mut again = self.replayer.clone();
        again.go_to(0).map_err(damaged)?;
        let mut watch = self.watch(condition, &again);
        let mut found = None;
        while again.position() + 1 < here && again.forward().map_err(damaged)?.is_some() {
            let actions = again.last().map_or(&[][..], |last| &last.actions);
            if watch.after_step(again.engine(), actions) {
                found = Some(again.position());
            }
        }
        match found {
            Some(step) => self.go_to(step).map(|()| true),
            None => Ok(false),
        }
    }

    fn watch(&self, condition: Condition, at: &Replayer) -> Watch {
        let began = self.replayer.trace().time_of(1).unwrap_or_default();
        Watch::new(condition, began, at.engine())
    }

    /// Shows the step behind which we are.
    pub fn show(&self) {
        let Some(last) = self.replayer.last() else {
            return line("before the first step");
        };
        line(&heading(self.position(), last));
        Transcript::default().of_step(last, None).iter().for_each(|text| line(text));
        line(&format!("  wakes {:?}", last.wakeup));
    }

    /// Says what caused the step and what it changed.
    pub fn why(&self) -> Result<(), Failure> {
        let Some(last) = self.replayer.last() else {
            line("nothing has happened yet");
            return Ok(());
        };
        let causes: Vec<String> = last.events.iter().map(brief).collect();
        if causes.is_empty() {
            line(&format!("caused by the time: the step before asked for {:?}", last.woken_by));
        } else {
            line(&format!("caused by {}", causes.join("; ")));
        }
        let before = self.replayer.engine_at(self.position() - 1).map_err(damaged)?;
        show_changes(&changes(&before, self.replayer.engine()));
        let asked = describe_actions(&last.actions);
        line(&format!("asked for: {}", if asked.is_empty() { "nothing" } else { "" }));
        asked.iter().for_each(|text| line(&format!("  {text}")));
        Ok(())
    }

    /// Shows in what the states behind two steps differ.
    pub fn diff(&self, from: u64, to: u64) -> Result<ExitCode, Failure> {
        let at = |number| self.replayer.engine_at(number).map_err(damaged);
        show_changes(&changes(&at(from)?, &at(to)?));
        Ok(ExitCode::SUCCESS)
    }

    /// Shows all peers.
    pub fn peers(&self) {
        let engine = self.replayer.engine();
        for peer in engine.torrents().flat_map(|torrent| engine.peers(torrent)) {
            let side = |choking: bool, interested: bool| match (choking, interested) {
                (true, true) => "choked, interested",
                (true, false) => "choked",
                (false, true) => "unchoked, interested",
                (false, false) => "unchoked",
            };
            line(&format!(
                "{:?} {} {}: it is {}; we are {}; {} pieces, {} requests out, {} waiting",
                peer.conn,
                peer.addr,
                printable(&peer.client),
                side(peer.am_choking, peer.peer_interested),
                side(peer.peer_choking, peer.am_interested),
                peer.pieces,
                peer.outstanding,
                peer.queued,
            ));
        }
    }

    /// Shows all steps up to here that concern a subject.
    pub fn list(&self, subject: &Subject) -> Result<(), Failure> {
        let mut again = self.replayer.clone();
        again.go_to(0).map_err(damaged)?;
        let mut transcript = Transcript::default();
        while again.position() < self.position() && again.forward().map_err(damaged)?.is_some() {
            let Some(last) = again.last() else { break };
            let lines = transcript.of_step(last, Some(subject));
            if !lines.is_empty() {
                line(&heading(again.position(), last));
                lines.iter().for_each(|text| line(text));
            }
        }
        Ok(())
    }

    /// Shows the whole state, or those lines of it that hold `word`.
    pub fn state(&self, word: Option<&str>) {
        let text = format!("{:#?}", self.replayer.engine());
        for shown in text.lines().filter(|line| word.is_none_or(|word| line.contains(word))) {
            line(shown);
        }
    }
}

fn show_changes(changes: &[eddyline::trace::Change]) {
    line(&format!("changed: {} values", changes.len()));
    for change in changes.iter().take(MAX_CHANGES) {
        line(&format!("  {}", printable(&change.to_string())));
    }
    if changes.len() > MAX_CHANGES {
        line(&format!("  and {} more", changes.len() - MAX_CHANGES));
    }
}
