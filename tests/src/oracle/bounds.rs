//! What each target of the fuzzers may cost, in one table.
//!
//! An allowance covers what a target makes for itself, a factor what follows from the input. Both
//! are some three times what the worst shapes and the committed inputs take, so that a fault which
//! multiplies stands out and a few fields more do not. Time is for a slow machine that does other
//! things as well, and only the fuzzers hold it. It is to catch what takes no memory, such as a list
//! that is searched for each of its own items.

/// What a run may cost: each an allowance, and an amount for each byte of the input.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The target.
    pub target: &'static str,
    /// Bytes held at once, and for a byte of input.
    pub memory: (u64, u64),
    /// Units of work, and for a byte of input; see [`super::Spent::work`].
    pub work: (u64, u64),
    /// Milliseconds of the processor, and nanoseconds for a byte of input.
    pub time: (u64, u64),
    /// What the figures follow from.
    pub reason: &'static str,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const fn bound(
    target: &'static str,
    memory: (u64, u64),
    work: (u64, u64),
    time: (u64, u64),
    reason: &'static str,
) -> Bound {
    Bound { target, memory, work, time, reason }
}

/// The bounds of all targets.
pub const BOUNDS: &[Bound] = &[
    bound(
        "bencode",
        (64 * KIB, 40),
        (1_000, 2),
        (200, 500),
        "a token is 20 bytes and stands for two bytes at the least; the list of them doubles",
    ),
    bound(
        "metainfo",
        (256 * KIB, 256),
        (1_000, 40),
        (500, 10_000),
        "a file is an entry, its path, and a path folded to find others of the name",
    ),
    bound(
        "magnet",
        (8 * MIB, 24),
        (400_000, 4),
        (500, 10_000),
        "a range of `so` names files that no byte stands for, up to a fixed number",
    ),
    bound(
        "frames",
        (64 * KIB, 100),
        (1_000, 5),
        (200, 1_000),
        "the target keeps each message as text, and a chunk for each byte",
    ),
    bound("messages", (64 * KIB, 12), (1_000, 8), (200, 1_000), "each message is written again"),
    bound(
        "extended",
        (256 * KIB, 24),
        (4_000, 4),
        (200, 500),
        "no more than 4,096 values are read, whatever the length",
    ),
    bound(
        "tracker_replies",
        (64 * KIB, 40),
        (1_000, 4),
        (200, 500),
        "an address of six bytes is 32 in memory, and the list doubles",
    ),
    bound(
        "krpc",
        (128 * KIB, 24),
        (4_000, 4),
        (200, 500),
        "no more than 4,096 values are read, and no more than 500 nodes of a state",
    ),
    bound(
        "dht_node",
        (MIB, 16),
        (10_000, 100),
        (500, 5_000),
        "three bytes may begin a look-up, which sends eight packets",
    ),
    bound(
        "metadata",
        (512 * KIB, 8),
        (100_000, 250),
        (500, 40_000),
        "three bytes of script bring a piece of 16 KiB, and may have 40 KB hashed",
    ),
    bound("pex", (256 * KIB, 8), (10_000, 20), (200, 1_000), "two bytes of script read a message"),
    bound("local_discovery", (64 * KIB, 8), (1_000, 4), (200, 500), "a packet is 1,400 bytes"),
    bound(
        "resume",
        (64 * KIB, 100),
        (1_000, 12),
        (200, 1_000),
        "a component of a renamed path takes three bytes and is a string; it is written again",
    ),
    bound(
        "trace",
        (96 * MIB, 64),
        (4_000_000, 16),
        (2_000, 5_000),
        "an event of five bytes is 72 in memory; content that was left out is made again, 64 MiB a step; \
         beside the input, a run of 7 MB is changed and read",
    ),
    bound(
        "snapshot",
        (16 * MIB, 64),
        (100_000, 16),
        (500, 2_000),
        "beside the input, the state of an engine is changed and restored",
    ),
    bound(
        "session",
        (16 * MIB, 32),
        (4_000_000, 64),
        (10_000, 5_000),
        "a world of thirty seconds and a torrent of 20,000 pieces around one peer",
    ),
    bound(
        "pair",
        (4 * MIB, 8),
        (1_000_000, 32),
        (5_000, 1_000),
        "a download in a world; the input decides how it is split",
    ),
    bound(
        "scenario",
        (512 * MIB, 1_000),
        (50_000_000, 1_000),
        (60_000, 10_000),
        "a whole random world, whatever the length; the first bytes decide how large it is",
    ),
    bound(
        "adversary",
        (512 * MIB, 1_000),
        (50_000_000, 1_000),
        (60_000, 10_000),
        "the world of an attack, and the first time the same world without the attacker",
    ),
    bound(
        "trace_replay",
        (64 * MIB, 64),
        (4_000_000, 64),
        (5_000, 5_000),
        "two runs of an engine, a few thousand bytes of trace in length, with clones on the way",
    ),
    bound(
        "trace_minimise",
        (64 * MIB, 16),
        (100_000_000, 64),
        (30_000, 5_000),
        "a run of 200 events, tried without each of them until nothing more can go",
    ),
    bound(
        "mse_pair",
        (64 * KIB, 12),
        (5_000, 20),
        (500, 1_000),
        "a conversation of up to 6 KB; the input decides how it is split",
    ),
    bound(
        "mse_bytes",
        (64 * KIB, 8),
        (1_000, 4),
        (500, 1_000),
        "half a handshake, of which a few hundred bytes are held; the input is enciphered once",
    ),
    bound(
        "utp_engine",
        (96 * MIB, 1_000),
        (20_000_000, 4_000),
        (20_000, 1_000_000),
        "an engine in a world with every check; a step of six bytes is a packet, and a handshake in it fills a torrent",
    ),
    bound(
        "introductions",
        (256 * KIB, 200),
        (4_000, 20),
        (500, 20_000),
        "three bytes of script are an entry in a ledger or a question, all of which are looked at when one is asked",
    ),
    bound(
        "web_seeds",
        (96 * MIB, 40_000),
        (20_000_000, 40_000),
        (20_000, 1_000_000),
        "an engine in a world with every check; eight bytes are a reply of up to a piece and 64 KB",
    ),
    bound(
        "http_replies",
        (20 * MIB, 4),
        (400_000, 6),
        (500, 1_000),
        "buffers of the client and a body of 50,000 bytes; the reply is copied once; what is compressed with brotli \
         may name a window of 16 MiB; each head, also that of a 100, has room for 128 lines",
    ),
    bound(
        "part_files",
        (2 * MIB, 4),
        (100_000, 100),
        (500, 20_000),
        "three bytes of script write a piece, or open all files again",
    ),
    bound(
        "relocation",
        (8 * MIB, 4),
        (1_000_000, 100_000),
        (500, 100_000),
        "two places hold a MiB each; three bytes of script are the user's word to move seven files, each \
         copied and compared through buffers of a MiB",
    ),
    bound(
        "session_journal",
        (256 * KIB, 100),
        (10_000, 30),
        (500, 5_000),
        "a folder of three bytes is a string; the set is read, written and read again",
    ),
    bound(
        "state_files",
        (256 * KIB, 200),
        (10_000, 20),
        (500, 5_000),
        "a path of six bytes is a list of strings in a tree",
    ),
    bound(
        "config_file",
        (16 * MIB, 200),
        (1_000_000, 40),
        (2_000, 5_000),
        "the whole command line is put together for each file; a value of three bytes is a string",
    ),
    bound(
        "sources",
        (8 * MIB, 24),
        (400_000, 4),
        (500, 5_000),
        "as a magnet; anything else is not looked into",
    ),
    bound(
        "utp_pair",
        (64 * MIB, 64),
        (40_000_000, 1_000_000),
        (30_000, 10_000_000),
        "two machines over a network with all rules checked at each packet; a step of two bytes offers 16 KB",
    ),
    bound(
        "utp_packets",
        (8 * MIB, 100),
        (4_000_000, 20_000),
        (5_000, 1_000_000),
        "a packet of six bytes may be answered with a window of them, and the rules are checked after each",
    ),
    bound(
        "lanes",
        (2 * MIB, 32),
        (1_000_000, 100),
        (2_000, 200_000),
        "sixteen messages of 4 KiB, hashed in every width; a byte is a place to cut",
    ),
];

/// The bound of a target.
///
/// # Panics
/// When it has none.
pub fn bound_of(target: &str) -> &'static Bound {
    let bound = BOUNDS.iter().find(|bound| bound.target == target);
    bound.unwrap_or_else(|| panic!("{target} has no bound in tests/src/oracle/bounds.rs"))
}
