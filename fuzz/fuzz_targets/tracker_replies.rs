//! No reply of a tracker panics its parser, and requests survive being written.
#![no_main]

use eddyline::tracker::{UdpRequest, UdpResponse, parse_announce, parse_scrape};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = parse_announce(data);
    let _ = parse_scrape(data);
    let _ = UdpResponse::decode(data, false);
    let _ = UdpResponse::decode(data, true);
    if let Some(request) = UdpRequest::decode(data) {
        assert_eq!(UdpRequest::decode(&request.encode()), Some(request));
    }
});
