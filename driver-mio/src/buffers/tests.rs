//! Unit tests of receive buffers.

use super::*;

#[test]
fn bytes_come_in_order_whatever_their_number() {
    let all: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    let (mut source, mut buffers, mut heard) = (&all[..], Buffers::default(), Vec::new());
    for limit in [1, 100, BUFFER - 1, BUFFER, BUFFER + 1, 300_000, usize::MAX].iter().cycle() {
        let mut into = Vec::new();
        let count = buffers.read(&mut source, *limit, |_| {}, &mut into).unwrap();
        assert!(count <= (*limit).min(Buffers::MOST));
        assert_eq!(into.iter().map(Bytes::len).sum::<usize>(), count);
        into.iter().for_each(|part| heard.extend_from_slice(part));
        if count == 0 {
            break;
        }
    }
    assert!(heard == all);
}

#[test]
fn a_buffer_is_used_again_when_nobody_holds_any_part_of_it() {
    let all = vec![1; 10 * BUFFER];
    let (mut source, mut buffers) = (&all[..], Buffers::default());
    let mut into = Vec::new();
    buffers.read(&mut source, BUFFER, |_| {}, &mut into).unwrap();
    let place = into[0].as_ptr();
    let part = into[0].slice(5..6);
    into.clear();
    buffers.read(&mut source, BUFFER, |_| {}, &mut into).unwrap();
    assert_ne!(into[0].as_ptr(), place, "a part of it is held");
    drop(part);
    into.clear();
    buffers.read(&mut source, 2 * BUFFER, |_| {}, &mut into).unwrap();
    assert!(into.iter().any(|part| part.as_ptr() == place));
    // What is kept for more is little when nothing comes.
    let kept = |buffers: &Buffers| buffers.kept.lock().unwrap().len();
    into.clear();
    let many: Vec<Bytes> = (0..30).filter_map(|_| buffers.fill(1, |_| true)).collect();
    drop(many);
    assert!(kept(&buffers) >= 30);
    // A second, with nothing in between: a limit lets some come twenty times a second.
    buffers.idle(REST_AFTER / 2);
    assert!(kept(&buffers) >= 29 && buffers.fill(1, |_| true).is_some());
    buffers.idle(REST_AFTER / 2);
    assert!(kept(&buffers) >= 29);
    buffers.idle(REST_AFTER / 2);
    assert_eq!(kept(&buffers), KEPT_AT_REST);
    // What is short holds no buffer.
    let mut short = Vec::new();
    buffers.read(&mut source, 10, |_| {}, &mut short).unwrap();
    into.clear();
    assert_eq!(kept(&buffers) + buffers.next.len(), KEPT_AT_REST);
}
