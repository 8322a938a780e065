//! The vectors under `tests/vectors`, walked as they are: the test knows no case by heart, so a
//! larger set can be dropped in. A case that nobody checked is a failure.

mod bencoding;
mod captures;
mod dht;
mod encryption;
mod exchange;
mod magnets;
mod torrents;
mod trackers;
mod utp;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::Value;

/// Kinds whose protocol is not built yet. This list must be empty in the end.
const NOT_YET_COVERED: [&str; 1] = ["hashes"];

/// `should` cases in which this engine decides otherwise, with the reason.
const DECIDED_OTHERWISE: &[(&str, &str)] = &[(
    "files-all-zero-length.torrent",
    "a torrent of nothing but empty files is complete at once; refusing it would lose the files",
)];

type Check = fn(&Value, &Value) -> Result<(), String>;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

pub fn load(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn checks() -> BTreeMap<&'static str, Check> {
    BTreeMap::from([
        ("allowed_fast", wire::allowed_fast as Check),
        ("bencode", bencoding::bencode),
        ("bep33", dht::bep33),
        ("bep40", wire::bep40),
        ("bep42", dht::bep42),
        ("bep44", dht::bep44),
        ("dht_distance", dht::dht_distance),
        ("krpc", dht::krpc),
        ("holepunch", exchange::holepunch),
        ("lsd", exchange::lsd),
        ("escape", trackers::escape),
        ("ext_handshake", wire::ext_handshake),
        ("handshake", wire::handshake),
        ("http_announce", trackers::http_announce),
        ("http_scrape", trackers::http_scrape),
        ("magnets", magnets::magnet),
        ("mse", encryption::mse),
        ("rc4", encryption::rc4),
        ("merkle", bencoding::merkle),
        ("peer_wire", wire::peer_wire),
        ("ut_metadata", exchange::ut_metadata),
        ("ut_pex", exchange::ut_pex),
        ("udp_tracker", trackers::udp_tracker),
        ("utp", utp::packet),
    ])
}

/// Runs `check` on one case and decides whether its answer is a failure.
fn judge(name: &str, case: &Value, check: Check) -> Option<String> {
    let strength = case["strength"].as_str().unwrap_or("must");
    let mut answers = vec![&case["out"]];
    answers.extend(case["also"].as_array().into_iter().flatten());
    let verdicts: Vec<_> = answers.iter().map(|out| check(&case["in"], out)).collect();
    if verdicts.iter().any(Result::is_ok) || excused(name, strength) {
        return None;
    }
    // Refusing what clients forgive is as good as accepting it, and the other way round; a
    // different value never is, and a check that finds one says so.
    let error = verdicts.into_iter().find_map(Result::err).unwrap_or_default();
    if strength == "may" && error.starts_with("verdict") {
        return None;
    }
    Some(format!("{name} ({strength}): {error}"))
}

pub fn excused(name: &str, strength: &str) -> bool {
    strength == "should" && DECIDED_OTHERWISE.iter().any(|(known, _)| *known == name)
}

#[test]
fn every_vector_agrees() {
    let checks = checks();
    let mut checked = 0;
    let mut failures = Vec::new();
    let mut uncovered = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let kind = path.file_stem().unwrap().to_string_lossy().into_owned();
        if kind == "captures" {
            // Conversations, not cases: `captures.rs` plays them.
            continue;
        }
        let Some(check) = checks.get(kind.as_str()) else {
            uncovered.push(kind);
            continue;
        };
        for case in load(path)["cases"].as_array().unwrap() {
            let name = format!("{kind}/{}", case["id"].as_str().unwrap());
            checked += 1;
            failures.extend(judge(&name, case, *check));
        }
    }
    assert!(failures.is_empty(), "{} of {checked} fail:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(uncovered, NOT_YET_COVERED, "the list of kinds not yet covered");
    println!("{checked} protocol vectors agree; not yet covered: {uncovered:?}");
}

pub fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

pub fn to_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Compares every key that the case names with what was understood.
pub fn compare(expected: &Value, found: &Value) -> Result<(), String> {
    for (key, value) in expected.as_object().unwrap() {
        if &found[key] != value {
            return Err(format!("{key}: expected {value}, found {}", found[key]));
        }
    }
    Ok(())
}

/// Compares the verdict first, and the rest where both accept.
pub fn compare_ok(expected: &Value, found: &Option<Value>) -> Result<(), String> {
    let wanted = expected["ok"].as_bool().unwrap();
    match found {
        Some(_) if !wanted => Err("verdict: should be refused".into()),
        None if wanted => Err("verdict: should be accepted".into()),
        Some(found) => {
            let mut found = found.clone();
            found["ok"] = true.into();
            compare(expected, &found)
        }
        None => Ok(()),
    }
}
