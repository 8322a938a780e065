//! Going through a run, forwards and backwards.

use std::process::ExitCode;

use eddyline::base::time::Instant;
use eddyline::trace::{Change, Condition, Replayer, Trace, Watch, changes};

use super::super::exit::Failure;
use super::super::output::{line, printable};
use super::causes::Causes;
use super::changes::joined;
use super::transcript::{Line, Subject, Transcript, heading};
use super::{damaged, quietly};

/// Changes shown at once; a step seldom has more.
const MAX_CHANGES: usize = 200;

/// A place in a run.
#[derive(Debug)]
pub struct Tour {
    replayer: Replayer,
    guide: Guide,
    /// The state is shown too, field by field.
    verbose: bool,
    /// What was looked for last.
    sought: Option<Condition>,
}

/// Has read everything up to a step, so as to know who is who there and what led to it.
#[derive(Debug)]
struct Guide {
    replayer: Replayer,
    transcript: Transcript,
    causes: Causes,
    events: Vec<Line>,
    actions: Vec<Line>,
}

impl Guide {
    fn new(replayer: Replayer, raw: bool) -> Self {
        let transcript = Transcript::new(raw);
        let (causes, events, actions) = (Causes::default(), Vec::new(), Vec::new());
        Self { replayer, transcript, causes, events, actions }
    }

    /// Reads on, or from the beginning, so that the step before `number` is the last but one.
    fn reach(&mut self, number: u64) -> Result<(), Failure> {
        if self.replayer.position() > number {
            let mut replayer = self.replayer.clone();
            replayer.go_to(0).map_err(damaged)?;
            *self = Self::new(replayer, self.transcript.raw);
        }
        while self.replayer.position() < number
            && self.replayer.forward().map_err(damaged)?.is_some()
        {
            let Some(last) = self.replayer.last() else { break };
            (self.events, self.actions) = self.transcript.lines(last);
            self.causes.take(last, &self.events, &self.actions);
        }
        Ok(())
    }
}

impl Tour {
    /// At the beginning. `verbose`: shows fields of the state too.
    pub fn start(trace: Trace, verbose: bool) -> Result<Self, Failure> {
        let replayer = Replayer::new(trace).map_err(damaged)?;
        let guide = Guide::new(replayer.clone(), verbose);
        Ok(Self { replayer, guide, verbose, sought: None })
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
        self.sought = Some(condition.clone());
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
        self.sought = Some(condition.clone());
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
        Watch::new(condition, self.began(), at.engine())
    }

    fn began(&self) -> Instant {
        self.replayer.trace().time_of(1).unwrap_or_default()
    }

    /// Shows the step behind which we are; the line that met the condition is marked.
    pub fn show(&mut self) -> Result<(), Failure> {
        let Some(last) = self.replayer.last() else {
            line("before the first step");
            return Ok(());
        };
        line(&heading(self.position(), last, self.began()));
        self.guide.reach(self.replayer.position())?;
        let met = self.met();
        let both = [(&self.guide.events, '←'), (&self.guide.actions, '→')];
        let all =
            both.iter().flat_map(|(lines, arrow)| lines.iter().map(move |line| (line, arrow)));
        for (index, (shown, arrow)) in all.enumerate() {
            let mark = if Some(index) == met { '▶' } else { ' ' };
            line(&format!("{mark} {arrow} {}", shown.text));
        }
        if self.verbose {
            line(&format!("  wakes {:?}", last.wakeup));
        }
        Ok(())
    }

    /// Which of the lines of this step met the condition, events counted before actions.
    fn met(&self) -> Option<usize> {
        let (condition, last) = (self.sought.as_ref()?, self.replayer.last()?);
        // In one and the same state, only what is told can make a difference.
        let mut watch = self.watch(condition.clone(), &self.replayer);
        let engine = self.replayer.engine();
        let mut actions = last.actions.iter();
        let told =
            actions.position(|action| watch.after_step(engine, std::slice::from_ref(action)));
        if let Some(action) = told {
            return Some(self.guide.events.len() + action);
        }
        let Condition::Peer(who, _) = condition else { return None };
        let mut lines = self.guide.events.iter().chain(&self.guide.actions);
        lines.position(|line| self.guide.transcript.concerns(&Subject::Peer(*who), line))
    }

    /// Says what led to the step, and what it changed.
    pub fn why(&mut self) -> Result<(), Failure> {
        if self.replayer.last().is_none() {
            line("nothing has happened yet");
            return Ok(());
        }
        self.guide.reach(self.replayer.position())?;
        let met = self
            .met()
            .and_then(|index| self.guide.events.iter().chain(&self.guide.actions).nth(index));
        let (conn, pieces) =
            met.map_or((None, &[][..]), |line| (line.conn, line.pieces.as_slice()));
        line("caused by, latest first:");
        let chain = self.guide.causes.chain(self.position(), conn, pieces, self.began());
        chain.iter().for_each(|text| line(text));
        let before = self.replayer.engine_at(self.position() - 1).map_err(damaged)?;
        let changes = changes(&before, self.replayer.engine());
        if self.verbose {
            show_changes(&changes);
        } else {
            line(&format!("changed: {} fields of the state; -v shows them", changes.len()));
        }
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
        let mut transcript = Transcript::new(self.verbose);
        while again.position() < self.position() && again.forward().map_err(damaged)?.is_some() {
            let Some(last) = again.last() else { break };
            let lines = transcript.of_step(last, Some(subject));
            if !lines.is_empty() {
                line(&heading(again.position(), last, self.began()));
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

fn show_changes(changes: &[Change]) {
    let joined = joined(changes);
    line(&format!("changed: {} fields", changes.len()));
    for text in joined.iter().take(MAX_CHANGES) {
        line(&format!("  {}", printable(text)));
    }
    if joined.len() > MAX_CHANGES {
        line(&format!("  and {} more", joined.len() - MAX_CHANGES));
    }
}
