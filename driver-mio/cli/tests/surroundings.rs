//! Homes that are not there, folders that cannot be used, and what the system refuses, told by its name.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const ALONE: &str = "--no-dht --no-lsd --no-trackers --bind 127.0.0.1 --port 0";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.0.path().join("here")).unwrap();
        std::fs::write(home.0.path().join("here/p.bin"), vec![7; 600_000]).unwrap();
        assert_eq!(home.shell("eddyline create here/p.bin -q -o p.torrent"), (0, String::new()));
        home
    }

    fn command(&self, script: &str) -> Command {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_eddyline"));
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(&self.0).env_clear();
        command.env("HOME", self.0.path()).env("PATH", path).stdin(Stdio::null());
        command
    }

    /// Code and standard error of a script.
    fn shell(&self, script: &str) -> (i32, String) {
        let output = self.command(script).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn seeder(&self) -> (Child, u16) {
        let script = format!("exec eddyline seed p.torrent --dir here {ALONE}");
        let mut child = self.command(&script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("READY ").expect(&line).trim().parse().unwrap();
        (child, port)
    }
}

#[test]
fn a_home_that_cannot_be_used_is_as_good_as_none() {
    let home = Home::new();
    std::fs::create_dir_all(home.0.path().join("strange/eddyline/config.toml")).unwrap();
    for surroundings in [
        "env -u HOME",
        "env HOME=",
        "env HOME=relative",
        "env HOME=/nonexistent",
        "env HOME=/dev/null",
        "env XDG_CONFIG_HOME=/dev/null XDG_STATE_HOME=/dev/null",
        "env XDG_CONFIG_HOME=$PWD/strange",
        "env XDG_CONFIG_HOME=relative",
    ] {
        for command in [
            "info p.torrent",
            "verify p.torrent --dir here",
            "magnet p.torrent",
            "completions bash",
        ] {
            let (code, news) = home.shell(&format!("{surroundings} eddyline {command} > data"));
            assert_eq!((code, news.as_str()), (0, ""), "{surroundings} {command}");
        }
        let download = format!("download p.torrent --dir here {ALONE}");
        let (code, news) = home.shell(&format!("{surroundings} eddyline {download}"));
        assert_eq!(code, 0, "{surroundings}: {news}");
    }
    assert!(!home.0.path().join("relative").exists());
    let (code, news) = home.shell("XDG_CONFIG_HOME=$PWD/strange eddyline info p.torrent -v");
    assert!(code == 0 && news.contains("config.toml: it is a folder"), "{news}");
    let (_, news) = home
        .shell(&format!("XDG_STATE_HOME=/dev/null eddyline download p.torrent --dir here {ALONE}"));
    assert!(news.contains("/dev/null/eddyline") && news.contains("not a folder"), "{news}");
    // One that can be read has to be right.
    std::fs::create_dir_all(home.0.path().join("bad/eddyline")).unwrap();
    for text in [&b"= x"[..], b"colour = 1", b"\xff"] {
        std::fs::write(home.0.path().join("bad/eddyline/config.toml"), text).unwrap();
        assert_eq!(home.shell("XDG_CONFIG_HOME=$PWD/bad eddyline info p.torrent").0, 2);
    }
}

/// Leaves all kinds of files that a state folder holds: of transfers, claims, the DHT and the session.
const LEAVE_STATE: &str = "
    timeout -s TERM 20 eddyline download p.torrent --dir there --no-lsd --no-trackers --bind 127.0.0.1 \
        --port 0 --dht-bootstrap 127.0.0.1:9 --stop-timeout 1s
    eddyline session add p.torrent --dir here -q && eddyline session run --seed-time 0s \
        --no-dht --no-lsd --no-trackers --bind 127.0.0.1 --port 0 -q";

#[test]
fn all_that_stands_in_a_state_folder_is_for_its_owner_again_after_the_next_run() {
    let home = Home::new();
    home.shell(LEAVE_STATE);
    let loose = "find .local/state/eddyline -perm /077";
    let (code, news) = home.shell(&format!(
        "chmod -R a+rwX .local/state/eddyline && test -d .local/state/eddyline/claims && \
         eddyline download p.torrent --dir here {ALONE} -q && {loose} >&2"
    ));
    assert_eq!((code, news.as_str()), (0, ""));
}

#[test]
fn a_state_folder_with_pipes_in_the_place_of_files_keeps_nobody_waiting() {
    let home = Home::new();
    home.shell(LEAVE_STATE);
    let (code, news) = home.shell(&format!(
        "cd .local/state/eddyline && find . -type f > ../all && for file in $(cat ../all); do
            rm $file && mkfifo $file; done; cd ../../..
         timeout 60 eddyline download p.torrent --dir here {ALONE} -q; echo $? >&2
         timeout 60 eddyline session list -q > listed; echo $? >&2"
    ));
    assert_eq!(code, 0, "{news}");
    let ends: Vec<_> = news.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert!(ends.len() == 2 && !ends.contains(&"124"), "{news}");
    std::fs::create_dir_all(home.0.path().join("huge/eddyline")).unwrap();
    let huge = "dir = \"x\"\n".repeat(200_000);
    std::fs::write(home.0.path().join("huge/eddyline/config.toml"), huge).unwrap();
    let (code, news) = home.shell("XDG_CONFIG_HOME=$PWD/huge eddyline info p.torrent -v");
    assert!(code == 0 && news.contains("too large"), "{news}");
}

#[test]
fn what_the_system_refuses_has_its_name_and_its_path_once() {
    let home = Home::new();
    let (mut seeder, port) = home.seeder();
    let download = format!(
        "eddyline download p.torrent --peer 127.0.0.1:{port} {ALONE} --state-dir state --dir there"
    );
    let (code, news) = home.shell(&format!("ulimit -f 200; {download}"));
    assert_eq!(code, 17, "{news}");
    assert!(news.contains("there/p.bin: the file is too large"), "{news}");
    assert_eq!(news.matches("too large").count(), 1, "{news}");
    seeder.kill().unwrap();
    seeder.wait().unwrap();
    std::fs::create_dir(home.0.path().join("other")).unwrap();
    std::fs::write(home.0.path().join("other/p.bin"), "something else").unwrap();
    let (code, news) = home.shell(&format!("eddyline download p.torrent --dir other {ALONE}"));
    assert!(code == 13 && news.contains("other/p.bin is there already"), "{news}");
    let (code, news) = home.shell(&format!("eddyline download p.torrent --dir p.torrent {ALONE}"));
    assert!(code == 13 && news.contains("/p.torrent: part of the path is not a folder"), "{news}");
    let (code, news) = home.shell(&format!("eddyline seed p.torrent --dir p.torrent/x {ALONE}"));
    assert!(code == 13 && news.contains("p.torrent/x: part of the path is not a folder"), "{news}");
    let long = format!("{}.torrent", "x".repeat(300));
    for (command, code, words) in [
        (format!("info {long}"), 17, "name is too long"),
        ("info p.torrent/x".into(), 17, "not a folder"),
        ("info here".into(), 17, "it is a folder"),
        ("info absent".into(), 3, "no such file"),
        (format!("create here -o {long}"), 17, "name is too long"),
        ("create here -o p.torrent/x".into(), 17, "not a folder"),
        ("man p.torrent".into(), 17, "p.torrent: part of the path is not a folder"),
    ] {
        let (found, news) = home.shell(&format!("eddyline {command}"));
        assert!(found == code && news.contains(words), "{command}: {found} {news}");
        assert!(!news.contains("os error"), "{news}");
    }
}

#[test]
fn files_that_cannot_be_opened_are_not_called_missing() {
    let home = Home::new();
    let verify = "ulimit -n 6; eddyline verify p.torrent --dir here -q 1>&2";
    let (code, news) = home.shell(verify);
    assert!(code == 17 && news.contains("here") && news.contains("too many open"), "{code} {news}");
    assert!(!news.contains("missing"), "{news}");
    let download = format!("ulimit -n 6; eddyline download p.torrent --dir here {ALONE}");
    let (code, news) = home.shell(&download);
    assert!(code == 17 && news.contains("`ulimit -n`"), "{code} {news}");
    assert!(!news.contains("os error"), "{news}");
}

#[test]
fn a_trace_that_finds_no_room_is_told_in_the_words_of_everything_else() {
    let home = Home::new();
    let record = format!("eddyline download p.torrent --dir here {ALONE} --record /dev/full");
    let (code, news) = home.shell(&record);
    assert!(code == 9 && news.contains("/dev/full: no space left on device"), "{code} {news}");
    assert!(!news.contains("os error"), "{news}");
}

#[test]
fn an_address_that_this_machine_does_not_have_is_called_so() {
    let home = Home::new();
    let run = "eddyline download p.torrent --dir there --no-dht --no-lsd --bind";
    let (code, news) = home.shell(&format!("{run} 192.0.2.1"));
    assert!(code == 6 && news.contains("no such address") && !news.contains("--port"), "{news}");
    assert_eq!(home.shell(&format!("{run} nowhere0")).0, 6);
}

#[test]
fn a_proxy_that_cannot_be_used_is_wrong_usage_and_its_password_is_not_repeated() {
    let home = Home::new();
    let run = format!("eddyline download p.torrent --dir there {ALONE}");
    for (before, behind, told) in [
        ("", "--proxy socks4://someone:secret@h", "--proxy: only socks5://"),
        ("", "--proxy someone:secret@h", "--proxy: a proxy is given as socks5://HOST:PORT"),
        ("EDDYLINE_PROXY=x://a:secret@h", "", "--proxy: a proxy is given as"),
        ("http_proxy=https://a:secret@h", "", "http_proxy in the environment: only socks5://"),
        ("", "--proxy http://a:secret@127.0.0.1 --transport utp", "use --transport tcp"),
        ("", "--proxy socks5://a:secret@h --proxy-for all,trees", "invalid value 'trees'"),
    ] {
        let (code, news) = home.shell(&format!("{before} {run} {behind}"));
        assert!(code == 2 && news.contains(told) && !news.contains("secret"), "{code} {news}");
    }
    // An empty one is none.
    let (code, news) = home.shell(&format!("{run} --dir here --proxy ''"));
    assert!(code == 0 && !news.contains("proxy"), "{code} {news}");
    // Help shows no value from anywhere.
    std::fs::create_dir_all(home.0.path().join(".config/eddyline")).unwrap();
    let config = home.0.path().join(".config/eddyline/config.toml");
    std::fs::write(&config, "proxy = 'socks5://someone:secret@127.0.0.1:9'").unwrap();
    let help = "eddyline download --help >&2";
    let (code, news) = home.shell(&format!("EDDYLINE_PROXY_FOR=peers {help}"));
    assert!(code == 0 && news.contains("--proxy <URL>") && !news.contains("secret"), "{news}");
    // Where nobody is behind it, it is told, without the password, and nothing is fetched otherwise.
    let (code, news) = home.shell("eddyline info http://127.0.0.1:1/x.torrent");
    assert!(code == 6 && !news.contains("secret"), "{code} {news}");
}

/// As in a container that was entered from outside: the leaders of the group and of the session have no
/// number there. Where namespaces are not permitted, the program is at least run.
#[test]
fn a_process_whose_session_is_outside_of_its_namespace_does_its_work() {
    let home = Home::new();
    let inside = ["unshare --pid --fork", "unshare --map-root-user --pid --fork", "env"]
        .into_iter()
        .find(|inside| home.shell(&format!("{inside} true")).0 == 0);
    let (code, news) = home.shell(&format!(
        "{} sh -c 'eddyline verify p.torrent --dir here -q && eddyline create p.torrent -q -o again'",
        inside.unwrap()
    ));
    assert_eq!((code, news.as_str()), (0, ""));
}

#[test]
fn a_transfer_that_is_not_kept_says_so_whatever_the_reason() {
    let home = Home::new();
    for home_folder in ["env -u HOME", "env HOME=relative", "env HOME=/nonexistent"] {
        let download = format!("{home_folder} eddyline download p.torrent --dir here {ALONE}");
        let (code, news) = home.shell(&download);
        assert!(
            code == 0 && news.contains("is not kept for the next one"),
            "{home_folder}: {news}"
        );
        let (code, news) = home.shell(&format!("{download} --state-dir state"));
        assert!(code == 0 && !news.contains("warning"), "{home_folder}: {news}");
    }
    let (code, news) = home.shell("TMPDIR=/dev/null eddyline demo --size 100K");
    assert!(code == 17 && news.contains("/dev/null: part of the path is not a folder"), "{news}");
    assert!(!news.contains("os error"), "{news}");
}

#[test]
fn a_value_that_nobody_typed_is_told_with_its_place() {
    let home = Home::new();
    let download = format!("eddyline download p.torrent --dir here {ALONE}");
    let (code, news) = home.shell(&format!("EDDYLINE_MAX_DOWN=fast {download}"));
    assert!(code == 2 && news.contains("from the environment, EDDYLINE_MAX_DOWN"), "{news}");
    std::fs::create_dir_all(home.0.path().join(".config/eddyline")).unwrap();
    let config = home.0.path().join(".config/eddyline/config.toml");
    std::fs::write(&config, "max-down = 'fast'").unwrap();
    let (code, news) = home.shell(&download);
    assert!(code == 2 && news.contains(config.to_str().unwrap()), "{news}");
    std::fs::write(&config, "max-up = '1K'\n\nmax-down =\n").unwrap();
    let (code, news) = home.shell(&download);
    assert!(code == 2 && news.contains("config.toml, line 3: "), "{news}");
    std::fs::write(&config, "").unwrap();
    for typed in ["--max-down fast", "--max-down=fast"] {
        let (code, news) = home.shell(&format!("{download} {typed}"));
        assert!(code == 2 && !news.contains("The value is from"), "{news}");
    }
}

#[test]
fn a_flag_that_is_given_again_counts_as_the_last_one_says() {
    let home = Home::new();
    let again = "eddyline verify p.torrent -q --dir absent -q --dir here";
    assert_eq!(home.shell(again).0, 0);
}

#[test]
fn a_demo_ends_while_it_makes_its_payload() {
    let home = Home::new();
    let mut demo = home.command("TMPDIR=$PWD exec eddyline demo --size 1500MB");
    let demo = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = || {
        let folders = std::fs::read_dir(&home.0).unwrap().filter_map(Result::ok);
        let payload = folders.map(|entry| entry.path().join("seeder/eddyline-demo.bin"));
        payload.filter_map(|path| path.metadata().ok()).any(|found| found.len() > 0)
    };
    while !has_begun() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let killed = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_variable_has_several_addresses_with_spaces_between_them() {
    let home = Home::new();
    let seed = format!("eddyline seed p.torrent --dir here --seed-time 0s {ALONE}");
    for (peers, code) in [("127.0.0.1:1", 0), ("127.0.0.1:1 127.0.0.1:2", 0), ("127.0.0.1:1 x", 2)]
    {
        let (found, news) = home.shell(&format!("EDDYLINE_PEER='{peers}' {seed}"));
        assert_eq!(found, code, "{peers}: {news}");
    }
    let create =
        "EDDYLINE_TRACKER='http://a.example/ http://b.example/' eddyline create here -q -o t";
    assert_eq!(home.shell(create).0, 0);
    let (_, magnet) = home.shell("eddyline magnet t 1>&2");
    assert!(magnet.contains("a.example") && magnet.contains("b.example"), "{magnet}");
}

#[test]
fn what_is_no_source_is_found_out_without_reading_all_of_it() {
    let home = Home::new();
    let limit = "ulimit -v 4000000";
    for (command, code, words) in [
        ("info ''", 2, "empty"),
        ("download '' --dir here", 2, "empty"),
        ("verify '' --dir here", 2, "empty"),
        ("session add ''", 2, "empty"),
        ("info /dev/zero", 25, "not a valid torrent"),
        ("info - < /dev/zero", 25, "not a valid torrent"),
        ("info film.mkv", 25, "film.mkv is not a valid torrent"),
    ] {
        let film = std::fs::File::create(home.0.path().join("film.mkv")).unwrap();
        film.set_len(1 << 42).unwrap();
        let (found, news) = home.shell(&format!("{limit}; eddyline {command}"));
        assert!(found == code && news.contains(words), "{command}: {found} {news}");
    }
}

#[test]
fn what_a_torrent_more_takes_of_the_open_files_is_given_back_when_they_run_short() {
    let home = Home::new();
    let make = "mkdir many && for n in $(seq 300); do echo $n > many/$n.bin && \
                eddyline create many/$n.bin -q -o $n.torrent || exit 1; done";
    assert_eq!(home.shell(make), (0, String::new()));
    // Twice, so that state is found too; with a second process beside it that has other torrents.
    for _ in 0..2 {
        let script = format!(
            "ulimit -n 100; : > first; : > second; eddyline seed p.torrent --dir here {ALONE} >> first & one=$!
             eddyline seed [0-9]*.torrent --dir many {ALONE} >> second & two=$!
             until grep -q READY first && grep -q READY second || ! kill -0 $two; do sleep 0.05; done
             kill -INT $one $two; wait $one; echo $? > codes; wait $two; echo $? >> codes; \
             find .local -name '*.held' >&2"
        );
        let (code, news) = home.shell(&script);
        let codes = std::fs::read_to_string(home.0.path().join("codes")).unwrap();
        assert_eq!(
            (code, codes.as_str(), news.as_str()),
            (0, "0\n0\n", ""),
            "nothing is left behind"
        );
    }
}
