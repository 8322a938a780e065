//! Two peers behind routers that let nobody in, each in a network of its own (namespaces, nftables): they meet through
//! a third (BEP 55).

use std::process::{Command, Stdio};

use crate::lab::{Lab, Process, eddyline};

/// Why this machine cannot have networks of its own, where it cannot.
fn hindrance() -> Option<&'static str> {
    let runs = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs("ip link set lo up") {
        return Some("no network namespaces, or no `ip`");
    }
    if !runs("nft add table ip nat && unshare -n true") {
        return Some("no `nft` in a network namespace");
    }
    (!runs("ip link add net0 type bridge && ip link add one type veth peer name two"))
        .then_some("no bridges and pairs of interfaces")
}

#[test]
fn two_behind_routers_meet_through_a_third() {
    if let Some(why) = hindrance() {
        return eprintln!("not tried here: {why}");
    }
    let lab = Lab::with_file(3_000_003, &[]);
    let mut command = Command::new("unshare");
    command.args(["-rn", "bash", concat!(env!("CARGO_MANIFEST_DIR"), "/interop/routers.sh")]);
    command.arg(eddyline().get_program()).arg(&lab.torrent).arg(lab.source()).arg(lab.dir("homes"));
    let mut download = Process::start(&mut command);
    assert_eq!(download.wait(), 0, "{:#?}", download.output());
    let met = |line: &String| {
        line.contains("\"state\":\"connected\"") && line.contains("203.0.113.12:6882")
    };
    let output = download.output();
    let over_utp = output.iter().any(|line| met(line) && line.contains("\"transport\":\"utp\""));
    assert!(over_utp, "{output:#?}");
    lab.assert_same("homes/fetched");
}
