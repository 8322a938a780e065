//! What the head of a web server's reply means for the range that was asked for.

use alloc::string::String;

use crate::api::HttpHead;

/// What was asked for, in bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// First byte.
    pub first: u64,
    /// First byte behind it.
    pub end: u64,
    /// Bytes of the file.
    pub length: u64,
    /// Bytes of the whole run that begins there.
    pub run: u64,
}

/// What is to be done about a reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The body holds these bytes of the file.
    Body {
        /// From this one on.
        first: u64,
        /// Up to this one.
        end: u64,
    },
    /// It is somewhere else.
    Elsewhere(String),
    /// This file is not there, or another one is.
    NoSuchFile,
    /// The server sends whole files only, and far more of this one than is asked for would be fetched for nothing.
    NoRanges,
    /// The server has enough to do; it says for how many seconds, or not.
    Busy(Option<u32>),
    /// It wants to know who asks, and cannot be told.
    Locked,
    /// It sends something else than was asked for.
    Wrong,
    /// It fails.
    Failed,
}

/// Looks at the reply of a server that sends pieces: what was asked for is all that it sends.
pub fn judge_piece(head: &HttpHead, asked: Asked) -> Verdict {
    let Asked { first, end, .. } = asked;
    match head.status {
        200 if head.length.is_none_or(|sent| sent == end - first) => Verdict::Body { first, end },
        200 | 206 => Verdict::Wrong,
        _ => judge(head, asked),
    }
}

/// Looks at a reply.
pub fn judge(head: &HttpHead, asked: Asked) -> Verdict {
    let Asked { first, end, length, run } = asked;
    match head.status {
        206 => match head.range {
            Some(sent) if sent.total.is_some_and(|total| total != length) => Verdict::NoSuchFile,
            Some(sent) if sent.first == first && sent.last >= first && sent.last < end => {
                Verdict::Body { first, end: sent.last + 1 }
            }
            _ => Verdict::Wrong,
        },
        200 if head.length.is_some_and(|sent| sent != length) => Verdict::NoSuchFile,
        // What lies before is fetched for nothing: no more than what is taken.
        200 if first <= run => Verdict::Body { first: 0, end: length },
        200 => Verdict::NoRanges,
        301 | 302 | 303 | 307 | 308 => match &head.location {
            Some(to) => Verdict::Elsewhere(to.clone()),
            None => Verdict::Wrong,
        },
        401 | 407 => Verdict::Locked,
        403 | 404 | 410 | 416 => Verdict::NoSuchFile,
        429 | 503 => Verdict::Busy(head.retry_after),
        _ => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of replies.

    use super::*;
    use crate::api::SentRange;
    use crate::base::addr::Scope;

    const ASKED: Asked = Asked { first: 1000, end: 3000, length: 10_000, run: 2000 };

    fn head(status: u16) -> HttpHead {
        let (location, range, length, retry_after) = (None, None, None, None);
        HttpHead { status, location, scope: Scope::Public, range, length, retry_after }
    }

    fn sends(first: u64, last: u64, total: Option<u64>) -> Verdict {
        judge(&HttpHead { range: Some(SentRange { first, last, total }), ..head(206) }, ASKED)
    }

    #[test]
    fn the_range_that_is_sent_must_be_the_one_that_was_asked_for() {
        let whole = Verdict::Body { first: 1000, end: 3000 };
        assert_eq!(sends(1000, 2999, Some(10_000)), whole);
        assert_eq!(sends(1000, 2999, None), whole);
        assert_eq!(sends(1000, 1500, None), Verdict::Body { first: 1000, end: 1501 });
        for (first, last) in [(0, 2999), (1000, 3000), (1001, 2999), (1000, 999), (1000, u64::MAX)]
        {
            assert_eq!(sends(first, last, None), Verdict::Wrong, "{first}-{last}");
        }
        assert_eq!(sends(1000, 2999, Some(10_001)), Verdict::NoSuchFile);
        assert_eq!(judge(&head(206), ASKED), Verdict::Wrong);
    }

    #[test]
    fn a_whole_file_is_taken_where_no_more_than_half_of_it_is_fetched_for_nothing() {
        assert_eq!(judge(&head(200), ASKED), Verdict::Body { first: 0, end: 10_000 });
        let half = Asked { first: 2000, end: 4000, ..ASKED };
        assert_eq!(judge(&head(200), half), Verdict::Body { first: 0, end: 10_000 });
        let more = Asked { first: 2001, end: 4000, ..ASKED };
        assert_eq!(judge(&head(200), more), Verdict::NoRanges);
        let other = HttpHead { length: Some(9_999), ..head(200) };
        assert_eq!(judge(&other, ASKED), Verdict::NoSuchFile);
    }

    #[test]
    fn part_of_a_piece_is_all_that_a_server_of_pieces_sends() {
        let body = Verdict::Body { first: 1000, end: 3000 };
        assert_eq!(judge_piece(&head(200), ASKED), body);
        assert_eq!(judge_piece(&HttpHead { length: Some(2000), ..head(200) }, ASKED), body);
        let whole = HttpHead { length: Some(10_000), ..head(200) };
        assert_eq!(judge_piece(&whole, ASKED), Verdict::Wrong);
        assert_eq!(judge_piece(&head(206), ASKED), Verdict::Wrong);
        assert_eq!(judge_piece(&head(503), ASKED), Verdict::Busy(None));
    }

    #[test]
    fn a_status_says_whether_it_is_the_file_or_the_server() {
        for (status, verdict) in [
            (404, Verdict::NoSuchFile),
            (416, Verdict::NoSuchFile),
            (401, Verdict::Locked),
            (500, Verdict::Failed),
            (100, Verdict::Failed),
            (302, Verdict::Wrong),
        ] {
            assert_eq!(judge(&head(status), ASKED), verdict, "{status}");
        }
        let busy = HttpHead { retry_after: Some(7), ..head(503) };
        assert_eq!(judge(&busy, ASKED), Verdict::Busy(Some(7)));
        let moved = HttpHead { location: Some("http://o/".into()), ..head(307) };
        assert_eq!(judge(&moved, ASKED), Verdict::Elsewhere("http://o/".into()));
    }
}
