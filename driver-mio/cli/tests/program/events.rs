//! The events of `--json`: each as the schema describes it, each with its torrent, and together the story
//! of a run.

use serde_json::{Value, json};

use crate::home::{ALONE, Home, content, pick};

/// Holds lines against the schema.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/events.json");
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        let document = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        compiler.add_resource("events.json", document).unwrap();
        let index = compiler.compile("events.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// Parses all lines, which must be events.
    fn hold(&self, lines: &[String]) -> Vec<Value> {
        let parse = |line: &String| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            if let Err(error) = self.schemas.validate(&event, self.index) {
                panic!("{line}\n{error:#}");
            }
            event
        };
        lines.iter().map(parse).collect()
    }
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

fn download<'a>(torrents: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["--json", "-v", "--no-trackers"];
    let all = ["download"].into_iter().chain(torrents.iter().copied()).chain(usual).chain(ALONE);
    all.chain(more.iter().copied()).collect()
}

#[test]
fn what_the_schema_does_not_describe_is_refused() {
    let schema = Schema::read();
    let refused = |text: &str| {
        let event: Value = serde_json::from_str(text).unwrap();
        assert!(schema.schemas.validate(&event, schema.index).is_err(), "{text}");
    };
    refused(r#"{"event":"resumed","t":1.0}"#);
    refused(r#"{"event":"unheard","t":1.0}"#);
    refused(r#"{"event":"stopped","t":1.0,"signal":"SIGINT","more":1}"#);
    let hash = "ab".repeat(20);
    refused(&format!(r#"{{"event":"stopped","t":1.0,"signal":"SIGINT","info_hash":"{hash}"}}"#));
    schema.hold(&[format!(r#"{{"event":"resumed","t":1.0,"info_hash":"{hash}"}}"#)]);
    let peer = r#"{"event":"peer","t":1.0,"addr":"[::1]:1","client":"","encrypted":false"#;
    for (good, more) in [
        (true, r#""transport":"utp","state":"connected","source":"dht""#),
        (true, r#""transport":"tcp","state":"closed","reason":"remote""#),
        (true, r#""transport":"tcp","state":"banned""#),
        (false, r#""transport":"tcp","state":"closed""#),
        (false, r#""transport":"tcp","state":"closed","reason":"bored""#),
        (false, r#""transport":"tcp","state":"connected","source":"dht","reason":"remote""#),
        (false, r#""transport":"smoke","state":"banned""#),
    ] {
        let line = format!("{peer},{more}}}");
        if good { drop(schema.hold(&[line])) } else { refused(&line) }
    }
    let tracker = format!(r#"{{"event":"tracker","t":1.0,"info_hash":"{hash}","url":"udp://t:1""#);
    schema.hold(&[format!(r#"{tracker},"peers":5}}"#), format!(r#"{tracker},"error":"no"}}"#)]);
    refused(&format!(r#"{tracker},"peers":5,"error":"no"}}"#));
    refused(&format!("{tracker}}}"));
}

#[test]
fn no_patience_at_all_is_enough_for_what_is_there() {
    let home = Home::new();
    let torrents = ["a.bin", "b.bin"].map(|name| home.torrent(name, 100_000));
    let sources = [torrents[0].as_str(), &torrents[1]];
    home.succeed(&download(&sources, &["--dir", "source", "--stop-timeout", "0s"]));
    home.refuse(7, &download(&sources, &["--dir", "got", "--stop-timeout", "0s"]));
}

#[test]
fn several_downloads_are_told_one_by_one_and_summed_up() {
    let home = Home::new();
    let torrents = ["a.bin", "b.bin"].map(|name| home.torrent(name, 100_000));
    let (_seeder, peer) = home.seed(&[&torrents[0], &torrents[1]]);
    let hashes = torrents.each_ref().map(|torrent| home.hash(torrent));
    let sources = [torrents[0].as_str(), &torrents[1]];
    let running = home.start(&download(&sources, &["--peer", &peer, "--dir", "got"]));
    let (code, lines, told) = running.end();
    assert_eq!(code, 0, "{told}");
    let events = Schema::read().hold(&lines);
    for (hash, name) in hashes.iter().zip(["a.bin", "b.bin"]) {
        let own: Vec<Value> = events.iter().filter(|e| e["info_hash"] == **hash).cloned().collect();
        for event in ["ready", "metadata", "progress", "piece", "peer", "complete"] {
            assert!(!named(&own, event).is_empty(), "{event}: {own:#?}");
        }
        let complete = named(&own, "complete");
        assert_eq!(complete.len(), 1);
        assert_eq!(complete[0]["downloaded"], 100_000);
        let from = own.iter().position(|event| event["event"] == "metadata").unwrap();
        assert!(own[from..].iter().all(|event| event["name"] == name), "{own:#?}");
        assert_eq!(std::fs::read(home.at(&format!("got/{name}"))).unwrap(), content(name, 100_000));
    }
    let last = events.iter().rfind(|event| event["event"] == "complete").unwrap();
    assert!(last.get("info_hash").is_none() && last["downloaded"] == 200_000, "{last}");
    let closed = named(&events, "peer").into_iter().find(|event| event["state"] == "closed");
    assert!(closed.is_some_and(|event| event["reason"].is_string()), "{events:#?}");
}

#[test]
fn complete_tells_this_run_and_all_runs_apart() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let schema = Schema::read();
    let mut totals = Vec::new();
    for _ in 0..2 {
        let running = home.start(&download(&[&torrent], &["--peer", &peer, "--dir", "got"]));
        let (code, lines, told) = running.end();
        assert_eq!(code, 0, "{told}");
        let events = schema.hold(&lines);
        let complete = named(&events, "complete");
        assert_eq!(complete.len(), 1, "{events:#?}");
        let value = |key: &str| complete[0][key].as_u64().unwrap();
        totals.push((value("downloaded"), value("total_downloaded"), value("length")));
    }
    assert_eq!(totals, [(100_000, 100_000, 100_000), (0, 100_000, 100_000)]);
    // In words too: nothing was fetched, so there is no rate of it.
    let arguments = ["download", &torrent, "--dir", "got", "--no-trackers"];
    let output = home.run(&arguments.into_iter().chain(ALONE).collect::<Vec<_>>());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("complete: a.bin, 97.7 KiB, was there already"), "{told}");
    assert!(told.contains("in got") && !told.contains("/s"), "{told}");
}

#[test]
fn lengths_are_those_of_what_is_selected() {
    let home = Home::new();
    std::fs::create_dir_all(home.at("source/set")).unwrap();
    for (name, length) in [("a", 10), ("b", 50_000), ("c", 7)] {
        std::fs::write(home.at(&format!("source/set/{name}")), content(name, length)).unwrap();
    }
    let torrent = home.torrent_of("source/set", "set");
    let (_seeder, peer) = home.seed(&[&torrent]);
    let magnet = format!("magnet:?xt=urn:btih:{}", home.hash(&torrent));
    for (source, dir) in [(torrent.as_str(), "one"), (&magnet, "two")] {
        let more = ["--peer", &peer, "--dir", dir, "--select", "1,3"];
        let (code, lines, told) = home.start(&download(&[source], &more)).end();
        assert_eq!(code, 0, "{told}");
        let events = Schema::read().hold(&lines);
        let metadata = named(&events, "metadata");
        let told = ["length", "files", "selected"].map(|key| metadata[0][key].as_u64().unwrap());
        assert_eq!(told, [17, 3, 2], "{source}");
        let last = named(&events, "progress").pop().unwrap();
        assert_eq!(pick(last, &["done", "length"]), json!([17, 17]));
        assert_eq!(named(&events, "complete")[0]["length"], 17);
    }
}

#[test]
fn a_stall_is_told_with_its_cause_before_it_is_given_up() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    let more = ["--dir", "got", "--stop-timeout", "1s"];
    let (code, lines, told) = home.start(&download(&[&torrent], &more)).end();
    assert_eq!(code, 7);
    assert!(told.contains("peer is known"), "{told}");
    let events = Schema::read().hold(&lines);
    let places = ["stalled", "error"].map(|name| events.iter().position(|e| e["event"] == name));
    assert!(places[0].is_some() && places[0] < places[1], "{events:#?}");
    let hash = home.hash(&torrent);
    assert_eq!(named(&events, "stalled")[0]["info_hash"], *hash);
    assert_eq!(pick(named(&events, "error")[0], &["code", "info_hash"]), json!([7, hash]));
}

#[test]
fn a_stream_that_is_stopped_ends_with_the_signal() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    for (signal, name, expected) in [("-INT", "SIGINT", 130), ("-TERM", "SIGTERM", 143)] {
        let mut running = home.start(&download(&[&torrent], &["--dir", "got"]));
        running.event("ready");
        running.signal(signal);
        let (code, lines, told) = running.end();
        assert_eq!(code, expected, "{told}");
        let events = Schema::read().hold(&lines);
        assert_eq!(pick(events.last().unwrap(), &["event", "signal"]), json!(["stopped", name]));
    }
    let state = home.at("seeder");
    let rest = ["--dir", "source", "--state-dir", &state, "--no-trackers", "--json"];
    let arguments: Vec<&str> = ["seed", &torrent].into_iter().chain(rest).chain(ALONE).collect();
    let mut seeder = home.start(&arguments);
    seeder.event("ready");
    let (code, lines, _) = seeder.stop();
    let events = Schema::read().hold(&lines);
    assert_eq!(code, 0);
    assert_eq!(events.last().unwrap()["event"], "stopped");
    let checking = named(&events, "checking").pop().unwrap();
    assert_eq!(pick(checking, &["done", "length"]), json!([100_000, 100_000]));
}

#[test]
fn of_two_downloads_one_of_which_fails_the_other_completes_and_the_code_says_so() {
    let home = Home::new();
    let torrents = ["a.bin", "b.bin"].map(|name| home.torrent(name, 100_000));
    let (_seeder, peer) = home.seed(&[&torrents[0], &torrents[1]]);
    std::fs::create_dir(home.at("got")).unwrap();
    std::fs::write(home.at("got/b.bin"), vec![7; 100_000]).unwrap();
    let sources = [torrents[0].as_str(), &torrents[1]];
    let more = ["--peer", &peer, "--dir", "got"];
    let (code, lines, told) = home.start(&download(&sources, &more)).end();
    assert_eq!(code, 7, "{told}");
    let events = Schema::read().hold(&lines);
    let errors = named(&events, "error");
    assert_eq!(pick(errors[0], &["code", "name"]), json!([13, "b.bin"]));
    assert_eq!(named(&events, "complete").len(), 1);
    assert_eq!(std::fs::read(home.at("got/a.bin")).unwrap(), content("a.bin", 100_000));
    assert_eq!(std::fs::read(home.at("got/b.bin")).unwrap(), vec![7; 100_000]);
    // One alone keeps its own code, and is told once.
    let (code, lines, _) = home.start(&download(&[&torrents[1]], &more)).end();
    let events = Schema::read().hold(&lines);
    assert_eq!((code, named(&events, "error").len()), (13, 1), "{events:#?}");
}

#[test]
fn a_session_is_told_in_the_same_events() {
    let home = Home::new();
    std::fs::create_dir_all(home.at("source/set")).unwrap();
    for (name, length) in [("a", 10), ("b", 50_000), ("c", 7)] {
        std::fs::write(home.at(&format!("source/set/{name}")), content(name, length)).unwrap();
    }
    let torrents = [home.torrent_of("source/set", "set"), home.torrent("a.bin", 100_000)];
    let hashes = torrents.each_ref().map(|torrent| home.hash(torrent));
    let (_seeder, peer) = home.seed(&[&torrents[0], &torrents[1]]);
    let magnet = format!("magnet:?xt=urn:btih:{}", hashes[0]);
    home.succeed(&["session", "add", &magnet, "--dir", "got", "--select", "1,3"]);
    home.succeed(&["session", "add", &torrents[1], "--dir", "got"]);
    let arguments = ["session", "run", "--json", "-v", "--no-trackers", "--peer", &peer];
    let arguments: Vec<&str> = arguments.into_iter().chain(ALONE).collect();
    let mut running = home.start(&arguments);
    for _ in 0..2 {
        running.event("complete");
    }
    let (code, lines, told) = running.stop();
    assert_eq!(code, 0, "{told}");
    let schema = Schema::read();
    let events = schema.hold(&lines);
    for (hash, length) in hashes.iter().zip([17, 100_000]) {
        let own: Vec<Value> = events.iter().filter(|e| e["info_hash"] == **hash).cloned().collect();
        for event in ["ready", "metadata", "progress", "piece", "peer", "complete"] {
            assert!(!named(&own, event).is_empty(), "{event}: {own:#?}");
        }
        assert_eq!(named(&own, "metadata")[0]["length"], length);
        assert_eq!(named(&own, "complete")[0]["length"], length);
        let last = named(&own, "progress").pop().unwrap();
        assert_eq!(pick(last, &["done", "length"]), json!([length, length]));
    }
    assert_eq!(pick(events.last().unwrap(), &["event", "signal"]), json!(["stopped", "SIGINT"]));
    // What is complete stands by in the next run, and is told of all the same.
    let mut running = home.start(&arguments);
    for _ in 0..2 {
        running.event("ready");
    }
    let events = schema.hold(&running.stop().1);
    assert!(
        events.iter().all(|event| event["info_hash"].is_string() || event["event"] == "stopped")
    );
}

#[test]
fn progress_comes_once_a_second_unless_it_says_something_new() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 300_000);
    let (_seeder, peer) = home.seed(&[&torrent]);
    let more = ["--peer", &peer, "--dir", "got", "--max-down", "150K", "--seed-time", "2s"];
    let (code, lines, told) = home.start(&download(&[&torrent], &more)).end();
    assert_eq!(code, 0, "{told}");
    let events = Schema::read().hold(&lines);
    let progress = named(&events, "progress");
    assert!(progress.len() >= 3, "{progress:#?}");
    for pair in progress.windows(2) {
        let apart = pair[1]["t"].as_f64().unwrap() - pair[0]["t"].as_f64().unwrap();
        assert!(apart >= 0.999 || pair[1]["done"] != pair[0]["done"], "{pair:#?}");
    }
    let hash = home.hash(&torrent);
    assert!(events.iter().all(|event| event["info_hash"] == *hash), "{events:#?}");
    // Nothing comes when all is there.
    let place = events.iter().position(|event| event["event"] == "complete").unwrap();
    let later = named(&events[place..], "progress");
    assert!(!later.is_empty() && later.iter().all(|event| event["down_rate"] == 0), "{later:#?}");
}

#[test]
fn a_seeder_tells_of_a_file_that_is_too_long_once_and_ends_with_its_totals() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    let seed =
        ["seed", &torrent, "--dir", "source", "--json", "--no-trackers", "--seed-time", "0s"];
    let seed: Vec<&str> = seed.into_iter().chain(ALONE).collect();
    let (code, lines, told) = home.start(&seed).end();
    assert_eq!(code, 0, "{told}");
    let events = Schema::read().hold(&lines);
    assert_eq!(pick(events.last().unwrap(), &["event", "uploaded"]), json!(["complete", 0]));
    let file = home.at("source/a.bin");
    let good = std::fs::read(&file).unwrap();
    for (start, advice) in [(0, "cuts it off"), (20_000, "--allow-overwrite")] {
        let bytes = [&vec![0; start][..], &good[start..], b"tail"].concat();
        std::fs::write(&file, bytes).unwrap();
        let (code, lines, told) = home.start(&seed).end();
        assert!(code == 32 && told.contains(advice), "{told}");
        let events = Schema::read().hold(&lines);
        let errors = named(&events, "error");
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert_eq!(errors[0]["code"], 32);
        let verify = home.refuse(32, &["verify", &torrent, "--dir", "source"]);
        assert!(verify.contains(advice), "{verify}");
    }
}

#[test]
fn what_fails_before_the_start_is_an_event_too() {
    let home = Home::new();
    for (code, command) in [(3, "download"), (3, "seed")] {
        let (found, lines, _) =
            home.start(&[command, "absent.torrent", "--dir", ".", "--json"]).end();
        let events = Schema::read().hold(&lines);
        assert_eq!((found, events.len()), (code, 1), "{events:#?}");
        assert_eq!(pick(&events[0], &["event", "code"]), json!(["error", code]));
    }
}

#[test]
fn a_passkey_is_in_no_event_unless_it_is_asked_for() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    let tracker = "http://127.0.0.1:1/announce?passkey=SECRET";
    for (verbose, is_told) in [("-v", false), ("-vv", true)] {
        let arguments =
            ["download", &torrent, "--json", verbose, "--dir", "got", "--tracker", tracker];
        let arguments: Vec<&str> = arguments.into_iter().chain(ALONE).collect();
        let mut running = home.start(&arguments);
        let event = running.event("tracker");
        let url = event["url"].as_str().unwrap();
        assert_eq!(url.contains("SECRET"), is_told, "{url}");
        assert!(url.starts_with("http://127.0.0.1:1/announce?passkey="), "{url}");
    }
}

#[test]
fn what_was_fetched_into_another_folder_is_not_taken_for_what_was_here() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 100_000);
    let (_seeder, peer) = home.seed(&[&torrent]);
    for dir in ["one", "two"] {
        let arguments = ["download", &torrent, "--no-trackers", "--dir", dir, "--peer", &peer];
        let arguments: Vec<&str> = arguments.into_iter().chain(ALONE).collect();
        let output = home.run(&arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("complete: a.bin, 97.7 KiB in "), "{told}");
    }
}

#[test]
fn a_download_that_moves_again_says_so() {
    let home = Home::new();
    let torrent = home.torrent("a.bin", 2_000_000);
    let state = home.at("seeder");
    let rest = ["--dir", "source", "--state-dir", &state, "--no-trackers", "--max-up", "100K"];
    let arguments = ["seed", &torrent].into_iter().chain(rest).chain(ALONE);
    let mut seeder = home.start(&arguments.collect::<Vec<_>>());
    let ready = seeder.line_with("READY ");
    let peer = format!("127.0.0.1:{}", ready.trim_start_matches("READY "));
    let mut running = home.start(&download(&[&torrent], &["--peer", &peer, "--dir", "got"]));
    running.event("piece");
    seeder.signal("-STOP");
    let hash = home.hash(&torrent);
    assert_eq!(running.event("stalled")["info_hash"], *hash);
    seeder.signal("-CONT");
    assert_eq!(running.event("resumed")["info_hash"], *hash);
    running.event("piece");
    let (_, lines, _) = running.stop();
    Schema::read().hold(&lines);
}
