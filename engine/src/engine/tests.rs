//! Unit tests of the engine that need no world around it.

use alloc::vec::Vec;

use super::*;

#[test]
fn an_engine_without_torrents_sleeps_until_an_event() {
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), Instant::ZERO);
    let mut actions = Vec::new();
    let wakeup = engine.step(Instant::from_millis(1), [], &mut actions);
    assert_eq!(wakeup, Wakeup::OnEvent);
    assert!(actions.is_empty());
    engine.check_invariants(CheckDepth::Full).unwrap();
}

#[test]
fn time_that_goes_backwards_is_clamped_and_counted() {
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), Instant::ZERO);
    engine.step(Instant::from_millis(5), [], &mut Vec::new());
    engine.step(Instant::from_millis(3), [], &mut Vec::new());
    assert_eq!(engine.now(), Instant::from_millis(5));
    assert_eq!(engine.stats().violations, 1);
}

#[test]
fn engines_are_values() {
    fn is_value<T: Clone + core::fmt::Debug + Send>() {}
    is_value::<Engine>();
}
