//! What takes the place of Linux' own calls, beside those.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{elsewhere, linux};

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

#[test]
fn the_same_bytes_are_sent_with_sendfile_and_without() {
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..40_000).map(|at| (at % 251) as u8).collect();
    file.write_all(&content).unwrap();
    type Send =
        fn(std::os::fd::BorrowedFd<'_>, &std::fs::File, u64, usize) -> std::io::Result<usize>;
    for send in [linux::send as Send, elsewhere::send as Send] {
        let (ours, mut theirs) = connection();
        let mut at = 1000;
        while at < 30_000 {
            at += send(ours.as_fd(), &file, at as u64, 30_000 - at).unwrap();
        }
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert_eq!(got, content[1000..30_000]);
    }
}

#[test]
fn what_a_system_lacks_is_said_in_the_way_that_callers_expect() {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::File::open(folder.path()).unwrap();
    let file = tempfile::tempfile().unwrap();
    assert_eq!(elsewhere::read_at_once(&file, &mut [0], 0), None);
    elsewhere::prefetch(&file, 0, 1);
    assert_eq!(elsewhere::allocate(&file, 1), Err(Errno::OPNOTSUPP));
    let inside = elsewhere::open_inside(&open, "a", OFlags::RDONLY, Mode::empty());
    assert_eq!(inside.err(), Some(Errno::NOSYS));
    assert_eq!(elsewhere::rename_to_free(&open, "a", &open, "b"), Err(Errno::NOSYS));
    assert!(!elsewhere::sync_all(&open).unwrap() && !elsewhere::dates_late(&open));
    assert!(!elsewhere::folder_names(folder.path()).unwrap().certain);
    let stat = rustix::fs::fstat(&open).unwrap();
    assert_eq!(elsewhere::identity(&stat), linux::identity(&stat));
}
