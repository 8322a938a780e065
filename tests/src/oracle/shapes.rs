//! Inputs of any length, each the worst known of its format: made by code, so that none of them has
//! to be kept.

mod documents;
mod messages;
mod programs;
mod stored;

/// A kind of input that grows as one likes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The target that it is for.
    pub target: &'static str,
    /// What it is made of.
    pub name: &'static str,
    /// An input of about the given number of bytes, and never more.
    pub make: fn(usize) -> Vec<u8>,
}

/// Every shape.
pub const SHAPES: &[Shape] = &[
    shape("bencode", "nested lists", documents::nested_lists),
    shape("bencode", "empty lists", documents::empty_lists),
    shape("bencode", "keys", documents::keys),
    shape("bencode", "one key again and again", documents::one_key),
    shape("bencode", "one long string", documents::long_string),
    shape("metainfo", "deep paths", documents::deep_paths),
    shape("metainfo", "paths that share all but the last", documents::shared_paths),
    shape("metainfo", "empty files", documents::empty_files),
    shape("metainfo", "files of one name", documents::same_names),
    shape("metainfo", "files and folders of one name", documents::folders_in_the_way),
    shape("metainfo", "symbolic links", documents::links),
    shape("metainfo", "url-list", documents::url_list),
    shape("metainfo", "announce-list of one tier", documents::one_tier),
    shape("metainfo", "announce-list of many tiers", documents::many_tiers),
    shape("metainfo", "nodes", documents::nodes),
    shape("metainfo", "keys of a file", documents::keys_of_files),
    shape("metainfo", "pieces", documents::pieces),
    shape("metainfo", "wide file tree", documents::wide_tree),
    shape("metainfo", "deep file trees", documents::deep_trees),
    shape("magnet", "trackers", documents::magnet_trackers),
    shape("magnet", "peers", documents::magnet_peers),
    shape("magnet", "so= numbers", documents::magnet_numbers),
    shape("magnet", "so= ranges", documents::magnet_ranges),
    shape("magnet", "escapes", documents::magnet_escapes),
    shape("magnet", "parameters without meaning", documents::magnet_unknown),
    shape("frames", "haves byte by byte", messages::haves_in_bytes),
    shape("frames", "keep-alives", messages::keep_alives_split),
    shape("frames", "extended messages", messages::extended_split),
    shape("frames", "one unfinished message", messages::unfinished),
    shape("messages", "haves", messages::haves),
    shape("messages", "have none", messages::have_nones),
    shape("messages", "requests", messages::requests),
    shape("messages", "one bitfield", messages::bitfield),
    shape("messages", "ports", messages::ports),
    shape("extended", "names of extensions", documents::extensions),
    shape("extended", "nested lists", documents::nested_lists),
    shape("tracker_replies", "compact peers", documents::compact_peers),
    shape("tracker_replies", "peers as dictionaries", documents::peer_dictionaries),
    shape("tracker_replies", "scraped torrents", documents::scraped),
    shape("tracker_replies", "reason of a failure", documents::failure_reason),
    shape("tracker_replies", "UDP peers", documents::udp_peers),
    shape("krpc", "nodes", documents::krpc_nodes),
    shape("krpc", "values", documents::krpc_values),
    shape("krpc", "state", stored::dht_state),
    shape("dht_node", "packets", stored::dht_packets),
    shape("dht_node", "look-ups", stored::dht_lookups),
    shape("dht_node", "contacts", stored::dht_contacts),
    shape("metadata", "pieces and lies", stored::metadata_steps),
    shape("metadata", "a message with a long key", documents::metadata_message),
    shape("pex", "addresses", documents::pex_addresses),
    shape("pex", "comings and goings", stored::pex_steps),
    shape("local_discovery", "hashes", documents::announced_hashes),
    shape("local_discovery", "header lines", documents::header_lines),
    shape("resume", "begun pieces", stored::resume_partial),
    shape("resume", "peers", stored::resume_peers),
    shape("resume", "renamed files", stored::resume_renamed),
    shape("resume", "trackers", stored::resume_trackers),
    shape("trace", "events of one step", stored::trace_events),
    shape("trace", "steps", stored::trace_steps),
    shape("trace", "content that is not there", stored::trace_content),
    shape("trace_replay", "events of one step", stored::trace_events),
    shape("trace_replay", "steps", stored::trace_steps),
    shape("trace_replay", "changed bytes", stored::changes),
    shape("trace_minimise", "changed bytes", stored::changes),
    shape("snapshot", "changed bytes", stored::changes),
    shape("session", "have all", messages::session_have_all),
    shape("session", "donthave and have", messages::session_dont_have),
    shape("session", "requests", messages::session_requests),
    shape("session", "metadata that is not there", messages::session_metadata),
    shape("session", "ports", messages::session_ports),
    shape("session", "handshakes of extensions", messages::session_handshakes),
    shape("session", "peer exchange", messages::session_exchange),
    shape("session", "single bytes", messages::session_bytes),
    shape("pair", "single bytes", messages::ones),
    shape("mse_pair", "single bytes", messages::mse_single_bytes),
    shape("mse_bytes", "padding without end", messages::mse_padding),
    shape("mse_bytes", "payload", messages::mse_payload),
    shape("http_replies", "header fields", programs::header_fields),
    shape("http_replies", "chunks", programs::chunks),
    shape("http_replies", "further replies", programs::continues),
    shape("http_replies", "a long location", programs::location),
    shape("http_replies", "a wide window", programs::wide_window),
    shape("part_files", "damage", programs::damage),
    shape("relocation", "arrangements", programs::arrangements),
    shape("session_journal", "torrents", programs::journal),
    shape("session_journal", "one torrent again and again", programs::journal_of_one),
    shape("session_journal", "folders of torrents", programs::journal_of_folders),
    shape("session_journal", "lengths that mislead", programs::lengths_that_mislead),
    shape("session_journal", "bodies that mislead", programs::bodies_that_mislead),
    shape("state_files", "folders", programs::folders),
    shape("state_files", "nodes", programs::kept_nodes),
    shape("config_file", "arrays", programs::config_arrays),
    shape("config_file", "nested arrays", programs::config_nested),
    shape("config_file", "tables", programs::config_tables),
    shape("config_file", "dotted keys", programs::config_dotted),
    shape("config_file", "lines", programs::config_lines),
    shape("sources", "trackers", programs::source_magnet),
    shape("sources", "parameters without meaning", programs::source_unknown),
    shape("sources", "a long hash", programs::source_hash),
];

const fn shape(target: &'static str, name: &'static str, make: fn(usize) -> Vec<u8>) -> Shape {
    Shape { target, name, make }
}

/// `head`, as many of what `part` makes as there is room for, and `tail`: `length` bytes at most,
/// unless head and tail alone are longer.
fn repeated(
    length: usize,
    head: &[u8],
    tail: &[u8],
    mut part: impl FnMut(usize) -> Vec<u8>,
) -> Vec<u8> {
    let mut out = head.to_vec();
    for number in 0.. {
        let part = part(number);
        if out.len() + part.len() + tail.len() > length || part.is_empty() {
            break;
        }
        out.extend(part);
    }
    out.extend_from_slice(tail);
    out
}

/// A byte string in bencode.
fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}
