//! What holds of a picker at any time; for tests, simulation, and pickers that are read from bytes.

use super::{PeerPieces, Picker};

impl Picker {
    /// Checks that every list is as long as there are pieces and blocks: what a picker is made with,
    /// and what one that was read from bytes has to have before anything else is asked of it.
    ///
    /// # Errors
    /// The name of the rule.
    pub fn check_shape(&self) -> Result<(), &'static str> {
        let pieces = self.geometry.pieces();
        let sets = [&self.have, &self.missing, &self.unstarted];
        let partials = self.partials.iter().all(|(piece, partial)| {
            *piece < pieces && partial.len() == self.geometry.blocks_in(*piece)
        });
        let fits = sets.iter().all(|set| set.len() == pieces)
            && self.priorities.len() == pieces as usize
            && self.availability.fits(pieces)
            && partials;
        if fits { Ok(()) } else { Err("every list of a picker has its length") }
    }

    /// Checks the partition of pieces and all counters; for tests and simulation.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        for piece in 0..self.geometry.pieces() {
            let (have, unstarted) = (self.have.has(piece), self.unstarted.has(piece));
            let begun = self.partials.contains_key(&piece);
            let wanted = self.priorities[piece as usize] > 0;
            if u32::from(have) + u32::from(unstarted) + u32::from(begun) > 1 {
                return Err("a piece is in two states");
            }
            if self.missing.has(piece) != (wanted && !have) {
                return Err("missing is wanted and not verified");
            }
            if unstarted != (wanted && !have && !begun) {
                return Err("unstarted is missing and not begun");
            }
            if unstarted != self.availability.is_listed(piece) {
                return Err("unstarted pieces stand in buckets");
            }
            if unstarted && piece < self.first_unstarted {
                return Err("no unstarted piece below the cursor");
            }
        }
        for (piece, partial) in &self.partials {
            partial.check()?;
            if !self.open.is_right(*piece, partial, self.priorities[*piece as usize]) {
                return Err("open partials are listed");
            }
        }
        if !self.open.is_tidy() || self.open.in_order().any(|p| !self.partials.contains_key(&p)) {
            return Err("what is listed as open is begun");
        }
        self.readers.check(self.geometry.pieces(), |piece| self.have.has(piece))?;
        self.availability.check()
    }

    /// Compares availability with a recount of the peers' pieces.
    ///
    /// # Errors
    /// The name of the rule that does not hold.
    pub fn check_availability<'a>(
        &self,
        peers: impl Iterator<Item = &'a PeerPieces> + Clone,
    ) -> Result<(), &'static str> {
        let holders = |piece| peers.clone().filter(|pieces| pieces.has(piece)).count();
        for piece in 0..self.geometry.pieces() {
            if self.available(piece) as usize != holders(piece) {
                return Err("availability equals the recount of bit fields");
            }
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl Picker {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "a piece is in two states" => {
                let first = self.unstarted.ones().next()?;
                self.have.set(first);
            }
            "missing is wanted and not verified" => {
                let first = self.have.ones().next()?;
                self.missing.set(first);
            }
            "unstarted is missing and not begun" => {
                let first = self.unstarted.ones().next()?;
                self.unstarted.clear(first);
            }
            "no unstarted piece below the cursor" => self.first_unstarted = self.geometry.pieces(),
            _ => {
                let begun = self.partials.values_mut().find_map(|partial| partial.corrupt(rule));
                let parts = begun.or_else(|| self.open.corrupt(rule));
                let parts = parts.or_else(|| self.readers.corrupt(rule));
                return parts.or_else(|| self.availability.corrupt(rule));
            }
        }
        Some(())
    }
}
