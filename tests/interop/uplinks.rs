//! A host with two uplinks of which one may be used (namespaces, nftables): nothing leaves by the other, whatever
//! happens.

use std::process::{Command, Stdio};

use crate::lab::{Lab, Process, trackerless};

/// Why this machine cannot have networks of its own, where it cannot.
pub fn hindrance() -> Option<&'static str> {
    let runs = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rnm", "sh", "-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs("ip link set lo up && ip link add one type veth peer name two") {
        return Some("no network namespaces, no `ip`, or no pairs of interfaces");
    }
    (!runs("nft add table inet watch && mount --bind /etc/hosts /etc/resolv.conf"))
        .then_some("no `nft` in a network namespace, or no mounts")
}

/// What `uplinks.sh` prints, and of it how many packets left by the wrong uplink.
fn run(bind: &str, again: &str) -> Option<Vec<String>> {
    if let Some(why) = hindrance() {
        eprintln!("not tried here: {why}");
        return None;
    }
    let trackers = ["http://tracker.example:8080/announce", "udp://tracker.example:6969/announce"];
    let lab = Lab::with_file(1_500_003, &trackers.map(str::to_owned));
    let mut command = Command::new("unshare");
    command.args(["-rnm", "bash", concat!(env!("CARGO_MANIFEST_DIR"), "/interop/uplinks.sh")]);
    command.arg(trackerless().get_program()).arg(&lab.torrent).arg(lab.source());
    command.arg(lab.dir("uplinks")).args([bind, again]);
    let mut process = Process::start(&mut command);
    let code = process.wait();
    let output = process.output();
    assert_eq!(code, 0, "{output:#?}");
    lab.assert_same("uplinks/fetched");
    Some(output)
}

/// Everything was used, nothing went wrong, and it was told that there was no way.
fn check(output: &[String], told: &str) {
    let used = output.iter().filter_map(|line| line.strip_prefix("by tun: "));
    let used: Vec<_> = used.filter_map(|line| line.split_once(' ')).collect();
    assert!(used.len() == 7 && used.iter().all(|(_, packets)| *packets != "0"), "{used:?}");
    let wrong: Vec<_> = output.iter().filter(|line| line.contains(": wrong ")).collect();
    assert!(wrong.len() == 3 && wrong.iter().all(|line| line.ends_with(": wrong 0")), "{wrong:?}");
    let has = |text: &str| output.iter().any(|line| line.contains(text));
    assert!(has("ended: 0") && has(told) && has("can be used again"), "{output:#?}");
    assert!(has("\"usable\":false,") && has("\"usable\":true,"), "{output:#?}");
}

#[test]
fn nothing_leaves_by_another_interface_while_it_is_there_gone_and_back_with_another_address() {
    let Some(output) = run("tun", "10.2.0.3") else { return };
    check(&output, "the network interface tun is gone");
    // One that has no address yet is waited for.
    assert!(output.iter().any(|line| line.contains("warning: tun has no address")), "{output:#?}");
}

#[test]
fn nothing_leaves_by_another_interface_than_that_of_the_address_whatever_the_routes_say() {
    let Some(output) = run("10.2.0.2", "10.2.0.2") else { return };
    check(&output, "this machine does not have the address 10.2.0.2");
}
