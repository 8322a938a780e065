//! Real and adversarial `.torrent` files against what libtorrent made of them.

use std::collections::BTreeSet;

use eddyline::metainfo::{FileEntry, Metainfo, Node};
use serde_json::{Value, json};

use super::{excused, folder, load};

#[test]
fn every_torrent_vector_agrees() {
    let mut checked = 0;
    let mut failures = Vec::new();
    for set in ["torrents", "adversarial"] {
        let path = folder().join(set);
        let mut unchecked: BTreeSet<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".torrent"))
            .collect();
        for case in load(&path.join("expectations.json"))["cases"].as_array().unwrap() {
            let name = case["file"].as_str().unwrap();
            assert!(unchecked.remove(name), "{set}/{name} is not there");
            checked += 1;
            let bytes = std::fs::read(path.join(name)).unwrap();
            let strength = case["strength"].as_str().unwrap();
            if let Err(error) = check(&bytes, &case["expect"], strength)
                && !excused(name, strength)
            {
                failures.push(format!("{set}/{name} ({strength}): {error}"));
            }
        }
        assert!(unchecked.is_empty(), "{set}: no expectation for {unchecked:?}");
    }
    assert!(failures.is_empty(), "{} of {checked} fail:\n{}", failures.len(), failures.join("\n"));
    println!("{checked} torrents agree");
}

fn check(bytes: &[u8], expect: &Value, strength: &str) -> Result<(), String> {
    let parsed = Metainfo::parse(bytes);
    if let Ok(metainfo) = &parsed {
        inside(metainfo)?;
    }
    match (expect["verdict"].as_str().unwrap(), parsed) {
        ("reject", Err(_)) => Ok(()),
        (_, Ok(_) | Err(_)) if strength == "may" => Ok(()),
        ("accept", Ok(metainfo)) => agrees(&metainfo, expect),
        ("accept", Err(error)) => Err(format!("refused: {error}")),
        _ => Err("accepted".into()),
    }
}

/// No path leaves the folder, whatever anyone expects.
fn inside(metainfo: &Metainfo) -> Result<(), String> {
    let targets = metainfo.layout().files().iter().filter_map(|file| file.symlink.as_ref());
    let paths = metainfo.layout().files().iter().map(|file| &file.path).chain(targets);
    for path in paths {
        let hostile = |part: &String| {
            part.is_empty() || part == "." || part == ".." || part.contains(['/', '\0'])
        };
        if path.is_empty() || path.iter().any(hostile) {
            return Err(format!("hostile path {path:?}"));
        }
    }
    Ok(())
}

fn agrees(metainfo: &Metainfo, expect: &Value) -> Result<(), String> {
    let files: Vec<&FileEntry> = metainfo.layout().files().iter().collect();
    // A v2 torrent has no pad files; the gaps that align its files are ours alone.
    let v2_only = metainfo.info_hashes().v1.is_none();
    let total =
        if v2_only { metainfo.layout().payload_length() } else { metainfo.layout().length() };
    let found = json!({
        "v1": metainfo.info_hashes().v1.map(|hash| hash.to_hex()),
        "v2": metainfo.info_hashes().v2.map(|hash| hash.to_hex()),
        "payload_size": metainfo.layout().payload_length(),
        "total_size": total,
        "piece_length": metainfo.geometry().piece_length(),
        "piece_count": metainfo.geometry().pieces(),
        "private": metainfo.is_private(),
    });
    for (key, value) in found.as_object().unwrap() {
        if &expect[key] != value {
            return Err(format!("{key}: expected {}, found {value}", expect[key]));
        }
    }
    let optional = [
        ("comment", json!(metainfo.comment())),
        ("created_by", json!(metainfo.created_by())),
        ("creation_date", json!(metainfo.creation_date())),
    ];
    for (key, value) in optional {
        if expect.get(key).is_some_and(|expected| expected != &value) {
            return Err(format!("{key}: expected {}, found {value}", expect[key]));
        }
    }
    trackers_agree(metainfo, expect)?;
    nodes_agree(metainfo, expect)?;
    files_agree(&files, metainfo, expect)
}

fn trackers_agree(metainfo: &Metainfo, expect: &Value) -> Result<(), String> {
    if expect["trackers_loose"] == true {
        return Ok(());
    }
    let sorted = |tier: &[String]| {
        let mut tier = tier.to_vec();
        tier.sort();
        tier
    };
    let ours: Vec<_> = metainfo.trackers().iter().map(|tier| sorted(tier)).collect();
    let theirs: Vec<Vec<String>> = serde_json::from_value(expect["trackers"].clone()).unwrap();
    let theirs: Vec<_> = theirs.iter().map(|tier| sorted(tier)).collect();
    if ours == theirs { Ok(()) } else { Err(format!("trackers {theirs:?}, found {ours:?}")) }
}

fn nodes_agree(metainfo: &Metainfo, expect: &Value) -> Result<(), String> {
    let Some(expected) = expect.get("dht_nodes").and_then(Value::as_array) else { return Ok(()) };
    let text = |node: &Node| format!("{}:{}", node.host, node.port);
    let found: Vec<_> = metainfo.nodes().iter().map(|node| json!(text(node))).collect();
    let listed: Vec<_> =
        metainfo.nodes().iter().map(|node| json!([node.host, node.port])).collect();
    if *expected == found || *expected == listed {
        Ok(())
    } else {
        Err(format!("nodes {expected:?}, found {found:?}"))
    }
}

fn files_agree(files: &[&FileEntry], metainfo: &Metainfo, expect: &Value) -> Result<(), String> {
    let is_pad = |file: &&Value| file["pad"] == true;
    let expected: Vec<_> = expect["files"].as_array().unwrap().iter().collect();
    // Where empty files stand around a pad is a matter of taste; sizes and order are not.
    let mut their_pads: Vec<_> = expected.iter().filter(|f| is_pad(f)).collect();
    their_pads.sort_by_key(|file| file["size"].as_u64());
    let mut our_pads: Vec<_> = files.iter().filter(|f| f.attributes.pad).collect();
    our_pads.sort_by_key(|file| file.length);
    let v1 = metainfo.info_hashes().v1.is_some();
    if v1
        && !our_pads
            .iter()
            .map(|f| Some(f.length))
            .eq(their_pads.iter().map(|f| f["size"].as_u64()))
    {
        return Err(format!("pads {our_pads:?}, expected {their_pads:?}"));
    }
    let ours: Vec<_> = files.iter().filter(|f| !f.attributes.pad).collect();
    let expected: Vec<_> = expected.into_iter().filter(|f| !is_pad(f)).collect();
    if ours.len() != expected.len() {
        return Err(format!("{} files, expected {}", ours.len(), expected.len()));
    }
    let portable = expect["paths_portable"] == true;
    if portable && metainfo.name() != expect["name"].as_str().unwrap() {
        return Err(format!("name {}, expected {}", metainfo.name(), expect["name"]));
    }
    for (ours, theirs) in ours.iter().zip(expected) {
        let path = theirs["path"].as_str().unwrap();
        let flag = |key: &str| theirs[key] == true;
        let same = ours.length == theirs["size"].as_u64().unwrap()
            && ours.attributes.executable == flag("executable")
            && ours.attributes.hidden == flag("hidden")
            && ours.symlink.is_some() == theirs.get("symlink").is_some();
        let root = theirs.get("pieces_root").and_then(Value::as_str);
        let same_root = ours.pieces_root.map(|root| root.to_hex()).as_deref() == root;
        let renamed = theirs.get("renamed").is_some();
        let same_path = !portable || renamed || ours.display_path() == path;
        if !same || !same_path || !same_root {
            return Err(format!("file {ours:?}, expected {theirs}"));
        }
    }
    Ok(())
}
