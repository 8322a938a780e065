//! Small worlds, explored completely: every order in which a few peers can be asked, answer, refuse,
//! choke, leave and come back, for a torrent of a few pieces. In every state that can be reached the
//! picker's books are right, and from every state a fair end leads to completion.

use std::collections::{BTreeSet, VecDeque};

use eddyline::SeedChoking;
use eddyline::base::digest::Digest;
use eddyline::base::ids::ConnId;
use eddyline::base::rng::Seed;
use eddyline::base::time::Instant;
use eddyline::choker::{Choker, Contender};
use eddyline::metainfo::{BLOCK_LENGTH, Geometry};
use eddyline::picker::{BlockRef, PeerPieces, PickMode, Picker, Received};

/// Pieces of the largest world.
const MOST_PIECES: u32 = 4;

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct SmallWorld {
    /// Pieces of the torrent, up to 4.
    pub pieces: u32,
    /// Blocks of each piece, up to 2.
    pub blocks: u32,
    /// Peers that have everything, up to 3.
    pub peers: u32,
    /// Requests that one peer may have outstanding.
    pub depth: u32,
    /// Whether the first peer spoils what it sends.
    pub liar: bool,
}

/// What was found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explored {
    /// States that can be reached.
    pub states: usize,
    /// Steps between them.
    pub transitions: usize,
    /// States in which everything is verified.
    pub complete: usize,
}

#[derive(Clone, Debug)]
struct Peer {
    here: bool,
    choking: bool,
    outstanding: Vec<BlockRef>,
}

/// One state: the picker as shipped, and what its peers are doing.
#[derive(Clone, Debug)]
struct State {
    picker: Picker,
    peers: Vec<Peer>,
    /// Blocks on their way to the disk, with the generation of their piece.
    writing: Vec<(BlockRef, u32)>,
    /// Pieces being hashed, with their generation.
    hashing: Vec<(u32, u32)>,
    /// Pieces with a spoiled block on disk.
    spoiled: BTreeSet<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    Ask(usize),
    Deliver(usize, usize),
    Reject(usize, usize),
    Choke(usize),
    Unchoke(usize),
    Leave(usize),
    Return(usize),
    Written(usize),
    Hashed(usize),
}

impl SmallWorld {
    /// Visits every state.
    ///
    /// # Errors
    /// A rule that does not hold somewhere, or a state from which there is no way to the end.
    pub fn explore(self) -> Result<Explored, String> {
        let first = self.first();
        let mut seen = BTreeSet::from([fingerprint(&first)]);
        let mut queue = VecDeque::from([first]);
        let (mut transitions, mut complete) = (0, 0);
        while let Some(state) = queue.pop_front() {
            self.check(&state)?;
            self.finish(state.clone())?;
            complete += usize::from(state.picker.is_finished());
            for step in self.moves(&state) {
                transitions += 1;
                let mut next = state.clone();
                self.apply(&mut next, step);
                if seen.insert(fingerprint(&next)) {
                    queue.push_back(next);
                }
            }
        }
        Ok(Explored { states: seen.len(), transitions, complete })
    }

    fn first(self) -> State {
        let length = u64::from(self.pieces * self.blocks * BLOCK_LENGTH);
        let geometry = Geometry::new(length, self.blocks * BLOCK_LENGTH).expect("a small torrent");
        let mut picker = Picker::new(geometry, &mut Seed::from_u64(1).stream("explore"));
        for _ in 0..self.peers {
            picker.peer_joined(&PeerPieces::All);
        }
        let peer = Peer { here: true, choking: false, outstanding: Vec::new() };
        State {
            picker,
            peers: vec![peer; self.peers as usize],
            writing: Vec::new(),
            hashing: Vec::new(),
            spoiled: BTreeSet::new(),
        }
    }

    fn moves(self, state: &State) -> Vec<Move> {
        let mut moves = Vec::new();
        for (number, peer) in state.peers.iter().enumerate() {
            if !peer.here {
                moves.push(Move::Return(number));
                continue;
            }
            moves.push(Move::Leave(number));
            if peer.choking {
                moves.push(Move::Unchoke(number));
            } else {
                moves.push(Move::Choke(number));
                if (peer.outstanding.len() as u32) < self.depth {
                    moves.push(Move::Ask(number));
                }
            }
            for at in 0..peer.outstanding.len() {
                moves.push(Move::Deliver(number, at));
                moves.push(Move::Reject(number, at));
            }
        }
        moves.extend((0..state.writing.len()).map(Move::Written));
        moves.extend((0..state.hashing.len()).map(Move::Hashed));
        moves
    }

    fn apply(self, state: &mut State, step: Move) {
        match step {
            Move::Ask(peer) => self.ask(state, peer),
            Move::Deliver(peer, at) => self.deliver(state, peer, at),
            Move::Reject(peer, at) => {
                let at = state.peers[peer].outstanding.remove(at);
                state.picker.request_dropped(at, key(peer));
            }
            Move::Choke(peer) => {
                state.peers[peer].choking = true;
                self.drop_requests(state, peer);
            }
            Move::Unchoke(peer) => state.peers[peer].choking = false,
            Move::Leave(peer) => {
                state.peers[peer].here = false;
                state.picker.peer_left(&PeerPieces::All);
                self.drop_requests(state, peer);
            }
            Move::Return(peer) => {
                state.peers[peer].here = true;
                state.peers[peer].choking = false;
                state.picker.peer_joined(&PeerPieces::All);
            }
            Move::Written(at) => {
                let (block, generation) = state.writing.remove(at);
                if state.picker.block_written(block, generation) {
                    state.hashing.push((block.piece, generation));
                }
            }
            Move::Hashed(at) => {
                let (piece, generation) = state.hashing.remove(at);
                if state.picker.generation_of(piece) != Some(generation) {
                    return;
                }
                if state.spoiled.remove(&piece) {
                    state.picker.piece_failed(piece);
                } else {
                    state.picker.set_have(piece);
                }
            }
        }
    }

    fn ask(self, state: &mut State, peer: usize) {
        // The same choices wherever a state is reached from.
        let mut rng = Seed::from_u64(2).stream("explore");
        let mode = PickMode { max_partial: 8, ..PickMode::default() };
        let all = PeerPieces::All;
        let mut picked = state.picker.pick(key(peer), &all, None, 1, mode, &mut rng).blocks;
        if picked.is_empty() {
            picked.extend(state.picker.pick_endgame(key(peer), &all, None, mode, &mut rng));
        }
        state.peers[peer].outstanding.extend(picked);
    }

    fn deliver(self, state: &mut State, peer: usize, at: usize) {
        let block = state.peers[peer].outstanding.remove(at);
        let Received::Needed { also_asked } = state.picker.block_received(block, key(peer)) else {
            return;
        };
        for other in also_asked {
            let other = &mut state.peers[other as usize - 1];
            other.outstanding.retain(|asked| *asked != block);
        }
        if self.liar && peer == 0 {
            state.spoiled.insert(block.piece);
        }
        let generation = state.picker.generation_of(block.piece).expect("it is begun");
        state.writing.push((block, generation));
    }

    fn drop_requests(self, state: &mut State, peer: usize) {
        for at in std::mem::take(&mut state.peers[peer].outstanding) {
            state.picker.request_dropped(at, key(peer));
        }
        state.picker.release(key(peer));
    }

    fn check(self, state: &State) -> Result<(), String> {
        state.picker.check_shape().and_then(|()| state.picker.check()).map_err(str::to_owned)?;
        let here = state.peers.iter().filter(|peer| peer.here).count();
        let all = vec![PeerPieces::All; here];
        state.picker.check_availability(all.iter()).map_err(str::to_owned)?;
        let mut outstanding = BTreeSet::new();
        for (number, peer) in state.peers.iter().enumerate() {
            outstanding.extend(peer.outstanding.iter().map(|at| (*at, key(number))));
        }
        let on_record: BTreeSet<_> = state.picker.requests().into_iter().collect();
        if outstanding != on_record {
            return Err(format!("requests on record: {on_record:?}, outstanding: {outstanding:?}"));
        }
        Ok(())
    }

    /// From here on everyone is honest, stays and answers: it must end.
    fn finish(self, mut state: State) -> Result<(), String> {
        let honest = Self { liar: false, ..self };
        for peer in 0..state.peers.len() {
            if !state.peers[peer].here {
                honest.apply(&mut state, Move::Return(peer));
            }
            honest.apply(&mut state, Move::Unchoke(peer));
        }
        // Each block may be fetched twice, once before a failed hash and once after it.
        for _ in 0..8 * self.pieces * self.blocks {
            if state.picker.is_finished() {
                return Ok(());
            }
            for peer in 0..state.peers.len() {
                honest.apply(&mut state, Move::Ask(peer));
                while !state.peers[peer].outstanding.is_empty() {
                    honest.apply(&mut state, Move::Deliver(peer, 0));
                }
            }
            while !state.writing.is_empty() {
                honest.apply(&mut state, Move::Written(0));
            }
            while !state.hashing.is_empty() {
                honest.apply(&mut state, Move::Hashed(0));
            }
        }
        Err(format!("no way to the end from {state:?}"))
    }
}

fn key(peer: usize) -> u32 {
    peer as u32 + 1
}

/// A state without what only counts: generations are told apart by their order alone, since they
/// grow for ever.
fn fingerprint(state: &State) -> u64 {
    let mut live: Vec<u32> =
        (0..MOST_PIECES).filter_map(|piece| state.picker.generation_of(piece)).collect();
    live.extend(state.writing.iter().map(|(_, generation)| *generation));
    live.extend(state.hashing.iter().map(|(_, generation)| *generation));
    live.sort_unstable();
    live.dedup();
    let order = |generation: u32| live.binary_search(&generation).unwrap_or(live.len());
    let mut digest = Digest::default();
    for part in format!("{:?}", state.picker).split("generation: ") {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        match part[..digits].parse() {
            Ok(generation) => digest.absorb_debug(&order(generation)),
            Err(_) => digest.absorb_debug(&usize::MAX),
        }
        digest.absorb(&part.as_bytes()[digits..]);
    }
    let writing: Vec<_> = state.writing.iter().map(|(at, g)| (at, order(*g))).collect();
    let hashing: Vec<_> = state.hashing.iter().map(|(piece, g)| (piece, order(*g))).collect();
    digest.absorb_debug(&(&state.peers, writing, hashing, &state.spoiled));
    digest.value()
}

/// Every set of interested peers that three peers can make, over four rounds: no more are served
/// than there are slots, and nobody waits for ever. Returns the number of states.
///
/// # Errors
/// A rule that does not hold.
pub fn explore_choker(slots: u32, policy: SeedChoking) -> Result<usize, String> {
    let mut states = 0;
    // Each round has a set of interested peers and one of those that give us something.
    for history in 0u32..(1 << 12) {
        let mut choker = Choker::default();
        let mut rng = Seed::from_u64(history.into()).stream("explore");
        let mut unchoked: Vec<ConnId> = Vec::new();
        for round in 0..4u32 {
            let wanting = history >> (round * 3) & 7;
            let candidates: Vec<Contender> = (0..3)
                .filter(|peer| wanting >> peer & 1 == 1)
                .map(|peer| candidate(peer, &unchoked, round))
                .collect();
            let now = Instant::from_millis(u64::from(round + 1) * 10_000);
            unchoked = choker.round(&candidates, slots, policy, now, &mut rng);
            states += 1;
            let distinct: BTreeSet<_> = unchoked.iter().collect();
            let all = unchoked.iter().all(|conn| candidates.iter().any(|c| c.conn == *conn));
            if distinct.len() != unchoked.len() || !all {
                return Err(format!("only who is interested is chosen, once: {unchoked:?}"));
            }
            let most = candidates.len().min(slots as usize);
            if unchoked.len() != most {
                return Err(format!("{} of {most} slots are used", unchoked.len()));
            }
        }
    }
    Ok(states)
}

fn candidate(peer: u64, unchoked: &[ConnId], round: u32) -> Contender {
    let conn = ConnId::from_u64(1 << 32 | peer);
    Contender {
        conn,
        // Two of them from one host.
        ip: [20, 0, 0, peer as u8 / 2].into(),
        seeding: peer == 2,
        unchoked: unchoked.contains(&conn),
        snubbed: false,
        down_rate: peer * 1000,
        up_rate: 1000 - peer * 100,
        connected_at: Instant::from_millis(peer * 100),
        unchoked_at: Instant::from_millis(u64::from(round) * 1000 * peer),
        choked_at: Instant::ZERO,
        progress: peer as u32 * 333,
        idle: unchoked.contains(&conn) && u64::from(round) % 3 == peer % 3,
        missed_turn: !unchoked.contains(&conn) && u64::from(round) % 4 == peer % 4,
    }
}
