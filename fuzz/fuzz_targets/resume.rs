//! No resume data panics its parser, whatever is behind a right checksum.
#![no_main]

use eddyline::base::hash::Sha1Hash;
use eddyline::ResumeData;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = ResumeData::decode(data);
    let signed = [&Sha1Hash::of(data).0, data].concat();
    if let Ok(resume) = ResumeData::decode(&signed) {
        assert_eq!(ResumeData::decode(&resume.encode()), Ok(resume));
    }
});
