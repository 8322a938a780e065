//! `create --from-url`: a torrent of what a web server has, without a byte of it kept.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// What a server does beside sending what is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Usual,
    /// It sends whole files, whatever is asked for.
    WholeFiles,
    /// It hangs up after this many bytes of each body.
    Breaks(usize),
    /// It does not say how long a file is.
    NoLength,
    /// Everything lies in a folder.
    ToFolder,
    /// Behind the first reply there is another file.
    Changes,
}

/// A server of one folder, and what it was asked for.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

impl Server {
    fn new(way: Way, files: &[(&str, usize)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let files: Vec<_> =
            files.iter().map(|(name, n)| ((*name).to_owned(), content(*n))).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, log) = (files.clone(), log.clone());
                std::thread::spawn(move || serve(stream.unwrap(), way, &files, &log));
            }
        });
        Self { base, asked }
    }
}

fn serve(mut stream: TcpStream, way: Way, files: &[(String, Vec<u8>)], log: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let range = head.iter().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)
    });
    let turn = {
        let mut log = log.lock().unwrap();
        log.push(format!("{path} {}", range.as_deref().unwrap_or("all")));
        log.len()
    };
    let Some((_, body)) = files.iter().find(|(name, _)| *name == path) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let body = if way == Way::Changes && turn > 1 { &body[1..] } else { &body[..] };
    let end = "Connection: close\r\n\r\n";
    let (head, body) = match (way, range) {
        (Way::ToFolder, _) => {
            (format!("302 Found\r\nLocation: {path}/\r\nContent-Length: 0\r\n"), &[][..])
        }
        (Way::NoLength, _) => ("200 OK\r\n".into(), body),
        (Way::WholeFiles, _) | (_, None) => {
            (format!("200 OK\r\nContent-Length: {}\r\n", body.len()), body)
        }
        (_, Some(_)) if body.is_empty() => ("416 No\r\nContent-Length: 0\r\n".into(), body),
        (_, Some(range)) => {
            let (first, last) = range.split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let sent = format!("Content-Range: bytes {first}-{last}/{}\r\n", body.len());
            let part = &body[first..=last];
            (format!("206 Part\r\n{sent}Content-Length: {}\r\n", part.len()), part)
        }
    };
    let most = if let Way::Breaks(most) = way { most.min(body.len()) } else { body.len() };
    let _ = stream.write_all(format!("HTTP/1.1 {head}{end}").as_bytes());
    let _ = stream.write_all(&body[..most]);
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// The info-hash of a torrent.
    fn hash(&self, torrent: &str) -> serde_json::Value {
        let (code, out, news) = self.run(&["info", "--json", torrent]);
        assert_eq!(code, 0, "{news}");
        let info: serde_json::Value = serde_json::from_str(&out).unwrap();
        serde_json::json!([info["info_hash_v1"], info["info_hash_v2"]])
    }

    /// Downloads `a.torrent` into `got`; a torrent itself leads to no server of this machine.
    fn fetch(&self, mirror: &str) -> (i32, String) {
        let (place, alone) =
            (["--dir", "got"], ["--no-dht", "--no-lsd", "--port", "0", "--stop-timeout", "60s"]);
        let what = ["download", "a.torrent", "--mirror", mirror];
        let (code, _, news) = self.run(&[&what[..], &place, &alone].concat());
        (code, news)
    }

    fn write(&self, path: &str, length: usize) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content(length)).unwrap();
    }
}

#[test]
fn the_torrent_is_the_one_of_the_same_file_on_disk_in_every_format() {
    let server = Server::new(Way::Usual, &[("/pub/x.iso", 100_003)]);
    let (home, url) = (Home::new(), format!("{}/pub/x.iso", server.base));
    home.write("x.iso", 100_003);
    for format in ["v1", "v2", "hybrid"] {
        let (code, out, news) = home.run(&[
            "create",
            "--from-url",
            &url,
            "--format",
            format,
            "--json",
            "-o",
            "a.torrent",
            "--force",
        ]);
        assert_eq!(code, 0, "{news}");
        let made: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(made["web_seeds"], serde_json::json!([url]), "{out}");
        assert_eq!(
            home.run(&["create", "x.iso", "--format", format, "-o", "b.torrent", "--force"]).0,
            0
        );
        assert_eq!(home.hash("a.torrent"), home.hash("b.torrent"), "{format}");
    }
    // Its web seed is all that a download needs, where the user says that it may be of this machine.
    let (code, news) = home.fetch(&url);
    assert_eq!(code, 0, "{news}");
    assert!(news.contains("all from web seeds"), "{news}");
    assert_eq!(std::fs::read(home.0.path().join("got/x.iso")).unwrap(), content(100_003));
}

#[test]
fn files_of_one_folder_make_the_torrent_of_that_folder() {
    let files =
        [("/pub/My%20Disc/b", 40_000), ("/pub/My%20Disc/a", 0), ("/pub/My%20Disc/c", 16_384)];
    let (server, home) = (Server::new(Way::Usual, &files), Home::new());
    files.iter().for_each(|(path, length)| home.write(&path[5..].replace("%20", " "), *length));
    let urls: Vec<String> =
        files.iter().map(|(path, _)| format!("{}{path}", server.base)).collect();
    for format in ["v1", "v2", "hybrid"] {
        let mut arguments = vec!["create", "--format", format, "--force", "-o", "a.torrent"];
        urls.iter().for_each(|url| arguments.extend(["--from-url", url]));
        let (code, _, news) = home.run(&arguments);
        assert_eq!(code, 0, "{news}");
        assert_eq!(
            home.run(&["create", "My Disc", "--format", format, "--force", "-o", "b.torrent"]).0,
            0
        );
        assert_eq!(home.hash("a.torrent"), home.hash("b.torrent"), "{format}");
    }
    let (code, news) = home.fetch(&format!("{}/pub/", server.base));
    assert_eq!(code, 0, "{news}");
    assert_eq!(std::fs::read(home.0.path().join("got/My Disc/b")).unwrap(), content(40_000));
}

#[test]
fn a_connection_that_breaks_is_made_again_for_the_rest() {
    let server = Server::new(Way::Breaks(30_000), &[("/x", 100_000)]);
    let (home, url) = (Home::new(), format!("{}/x", server.base));
    home.write("x", 100_000);
    let (code, _, news) = home.run(&["create", "--from-url", &url, "-o", "a.torrent"]);
    assert_eq!(code, 0, "{news}");
    assert_eq!(home.run(&["create", "x", "-o", "b.torrent"]).0, 0);
    assert_eq!(home.hash("a.torrent"), home.hash("b.torrent"));
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked, ["/x 0-0", "/x all", "/x 30000-99999", "/x 60000-99999", "/x 90000-99999"]);
}

#[test]
fn what_cannot_be_shared_ends_with_a_code_and_nothing_is_written() {
    let home = Home::new();
    for (way, code, words) in [
        (Way::NoLength, 6, "does not say how long it is"),
        (Way::ToFolder, 6, "give the address of each file"),
        (Way::Changes, 2, "it is not what it was a moment ago"),
        (Way::Breaks(0), 6, "closed"),
    ] {
        let server = Server::new(way, &[("/x", 100_000)]);
        let (got, _, news) = home.run(&["create", "--from-url", &format!("{}/x", server.base)]);
        assert!(got == code && news.contains(words), "{got}: {news}");
        assert!(!home.0.path().join("x.torrent").exists());
    }
    let server = Server::new(Way::Usual, &[]);
    let (code, _, news) =
        home.run(&["create", "--from-url", &format!("{}/x?key=geheim", server.base)]);
    assert!(code == 3 && !news.contains("geheim"), "{code}: {news}");
    let (code, _, news) = home.run(&["create", "--from-url", "http://127.0.0.1:1/x"]);
    assert!(code == 6 && news.contains("refused"), "{code}: {news}");
    for wrong in [
        &["create"][..],
        &["create", "x", "--from-url", "http://h/x"],
        &["create", "--from-url", "/x"],
    ] {
        assert_eq!(home.run(wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn a_server_of_whole_files_is_warned_of_and_a_dry_run_writes_nothing() {
    let server = Server::new(Way::WholeFiles, &[("/x", 100_000)]);
    let (home, url) = (Home::new(), format!("{}/x", server.base));
    let (code, _, news) = home.run(&["create", "--from-url", &url, "--dry-run"]);
    assert!(code == 0 && news.contains("would write"), "{news}");
    assert!(news.contains("whole files only") && news.contains("local network"), "{news}");
    assert!(!home.0.path().join("x.torrent").exists());
    assert_eq!(home.run(&["create", "--from-url", &url, "--strict"]).0, 2);
}

#[test]
fn who_is_anonymous_tells_neither_the_server_nor_the_torrent_which_client_it_is() {
    for anonymous in [true, false] {
        let home = Home::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/x.bin", listener.local_addr().unwrap());
        let (tell, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
                tell.send(head.collect::<String>().to_ascii_lowercase()).unwrap();
                let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
                stream.write_all(reply).unwrap();
            }
        });
        let flag: &[&str] = if anonymous { &["--anonymous"] } else { &[] };
        let what = ["create", "--from-url", &url, "-o", "x.torrent"];
        let (code, _, news) = home.run(&[&what[..], flag].concat());
        assert_eq!(code, 0, "{news}");
        let torrent = std::fs::read(home.0.path().join("x.torrent")).unwrap();
        let says = String::from_utf8_lossy(&torrent).to_ascii_lowercase().contains("eddyline");
        let heard: String = heard.try_iter().collect();
        assert!(heard.starts_with("get /x.bin"), "{heard}");
        assert_eq!((heard.contains("eddyline"), says), (!anonymous, !anonymous));
    }
}
