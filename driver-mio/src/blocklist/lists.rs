//! Lists of addresses, in files or at the address of a web server, as text or packed with gzip.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::filter::{Filter, FilterBuilder, Line, MAX_LINE};
use eddyline::{Fault, HttpGet};
use flate2::bufread::MultiGzDecoder;

use crate::dns::Names;
use crate::http::fetch;

/// Most bytes of a list, unpacked: ten million lines have fewer.
const MAX_BYTES: u64 = 1 << 30;
/// Most bytes of a list that is fetched, as it comes.
const MAX_FETCHED: u32 = 256 << 20;
/// How long fetching one may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Redirects that are followed.
const MAX_HOPS: u32 = 5;

/// Where a list is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum List {
    /// In a file, which is read again when it has changed.
    File(PathBuf),
    /// At this address, from which it is fetched once.
    Url(String),
}

impl List {
    /// What `text` names: an http or https address, or else a file.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let begins = |scheme: &str| {
            text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        };
        match begins("http://") || begins("https://") {
            true => Self::Url(text.to_owned()),
            false => Self::File(text.into()),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // What stands behind the path may be a key.
            Self::Url(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}

/// Why a list is not used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file cannot be read, or what was packed is damaged.
    #[error("{0}: {1}")]
    Read(String, String),
    /// It cannot be fetched.
    #[error("{0}: {1}")]
    Fetch(String, String),
    /// There are lines in it, and none that is understood.
    #[error("{0} is no list of addresses: no line of it is understood")]
    NotUnderstood(String),
    /// It is too long.
    #[error("{0} is too long: more than {max} MiB", max = MAX_BYTES >> 20)]
    TooLong(String),
}

impl ListError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Read(..) => Fault::Machine,
            Self::Fetch(..) => Fault::Nobody,
            Self::NotUnderstood(_) | Self::TooLong(_) => Fault::Caller,
        }
    }
}

/// What was read of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListRead {
    /// Its name.
    pub name: String,
    /// Lines that name a range.
    pub ranges: u64,
    /// Lines that are not understood.
    pub broken: u64,
    /// The number of the first of them.
    pub first_broken: Option<u64>,
    /// Ranges that are not blocked because there are too many.
    pub left_out: u64,
}

/// Lists, with what was read of each.
#[derive(Debug)]
pub struct Lists(Vec<(List, Filter, ListRead)>);

impl Lists {
    /// Reads all; those that lie elsewhere are fetched by the rules of `names`.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(lists: &[List], agent: &str, names: &Names) -> Result<Self, ListError> {
        let read = |list: &List| {
            let (filter, read) = match list {
                List::File(_) => read_file(list)?,
                List::Url(url) => {
                    let bytes = download(list, url, agent, names)?;
                    read_from(list, &bytes[..])?
                }
            };
            Ok((list.clone(), filter, read))
        };
        lists.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Reads the files again. Those that cannot be read stay as they were.
    pub(super) fn read_again(&mut self) -> Vec<Result<ListRead, ListError>> {
        let files = self.0.iter_mut().filter(|(list, ..)| matches!(list, List::File(_)));
        let again = files.map(|(list, filter, read)| {
            (*filter, *read) = read_file(list)?;
            Ok(read.clone())
        });
        again.collect()
    }

    /// The files among them.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter().filter_map(|(list, ..)| match list {
            List::File(path) => Some(path),
            List::Url(_) => None,
        })
    }

    /// What was read of each.
    pub fn all(&self) -> impl Iterator<Item = &ListRead> {
        self.0.iter().map(|(.., read)| read)
    }

    /// All of them as one filter.
    #[must_use]
    pub fn filter(&self) -> Filter {
        if let [(_, one, _)] = &self.0[..] {
            return one.clone();
        }
        let mut builder = FilterBuilder::default();
        for (first, last) in self.0.iter().flat_map(|(_, filter, _)| filter.ranges()) {
            builder.block(first, last);
        }
        builder.build()
    }
}

fn read_file(list: &List) -> Result<(Filter, ListRead), ListError> {
    let List::File(path) = list else { return Ok(Default::default()) };
    let unread = |error: io::Error| ListError::Read(list.to_string(), plain(&error));
    // A pipe without a writer would be waited for.
    if !std::fs::metadata(path).map_err(unread)?.is_file() {
        return Err(ListError::Read(list.to_string(), "not a file".into()));
    }
    read_from(list, File::open(path).map_err(unread)?)
}

fn read_from(list: &List, source: impl Read) -> Result<(Filter, ListRead), ListError> {
    let unread = |error: io::Error| ListError::Read(list.to_string(), plain(&error));
    let mut source = BufReader::new(source);
    let packed = source.fill_buf().map_err(unread)?.starts_with(&[0x1f, 0x8b]);
    let mut read = ListRead { name: list.to_string(), ..ListRead::default() };
    let mut builder = FilterBuilder::default();
    let all = match packed {
        true => lines(BufReader::new(MultiGzDecoder::new(source)), &mut builder, &mut read),
        false => lines(source, &mut builder, &mut read),
    };
    if !all.map_err(unread)? {
        return Err(ListError::TooLong(read.name));
    }
    if read.ranges == 0 && read.broken > 0 {
        return Err(ListError::NotUnderstood(read.name));
    }
    Ok((builder.build(), read))
}

/// Takes in all lines; false where there are too many bytes of them. No line is held as a whole that is too long.
fn lines(
    mut source: impl BufRead,
    builder: &mut FilterBuilder,
    read: &mut ListRead,
) -> io::Result<bool> {
    let (mut line, mut number, mut bytes) = (Vec::new(), 0, 0);
    loop {
        let some = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            some => some?,
        };
        let end = some.iter().position(|byte| *byte == b'\n');
        let part = &some[..end.unwrap_or(some.len())];
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let (last, used) = (some.is_empty(), end.map_or(some.len(), |end| end + 1));
        source.consume(used);
        bytes += used as u64;
        if bytes > MAX_BYTES {
            return Ok(false);
        }
        if end.is_some() || last {
            number += 1;
            match builder.block_line(&line) {
                Line::Range => read.ranges += 1,
                Line::Nothing => {}
                Line::Broken => {
                    read.broken += 1;
                    read.first_broken.get_or_insert(number);
                }
                Line::TooMany => read.left_out += 1,
            }
            line.clear();
        }
        if last {
            return Ok(true);
        }
    }
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "it may not be read".into(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "it is damaged".into()
        }
        _ => error.to_string(),
    }
}

fn download(list: &List, url: &str, agent: &str, names: &Names) -> Result<Vec<u8>, ListError> {
    let failed = |why: String| ListError::Fetch(list.to_string(), why);
    // A server on the internet must not lead us into a private network.
    let (mut only, mut url) = (None, url.to_owned());
    for _ in 0..=MAX_HOPS {
        let (max_body, timeout) = (MAX_FETCHED, PATIENCE);
        let get = HttpGet { url: url.clone(), ipv6: None, only, max_body, timeout };
        let reply = fetch(&get, agent, names).map_err(|error| failed(error.to_string()))?;
        only = only.or((reply.scope == Scope::Public).then_some(Scope::Public));
        match (reply.status, reply.location) {
            (200, _) if reply.whole => return Ok(reply.body),
            (200, _) => return Err(failed("it did not come whole".into())),
            (300..400, Some(location)) => url = location,
            (status, _) => {
                return Err(failed(format!("the server answered with HTTP status {status}")));
            }
        }
    }
    Err(failed("too many redirects".into()))
}

#[cfg(test)]
mod tests {
    //! Unit tests of lists.

    use std::io::Write;
    use std::net::IpAddr;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn of(bytes: &[u8]) -> Result<(Filter, ListRead), ListError> {
        read_from(&List::named("list"), bytes)
    }

    #[test]
    fn a_list_is_read_as_text_or_packed_and_broken_lines_are_counted() {
        let text =
            b"# a list\nx:1.2.3.0-1.2.3.255\r\nwhat is this\n\n5.0.0.0/8\nand this\n2001:db8::/32";
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text).unwrap();
        for bytes in [text.to_vec(), packed.finish().unwrap()] {
            let (filter, read) = of(&bytes).unwrap();
            assert_eq!((read.ranges, read.broken, read.first_broken), (3, 2, Some(3)));
            assert!(filter.blocks(ip("1.2.3.4")) && filter.blocks(ip("2001:db8::1")));
            assert!(!filter.blocks(ip("1.2.4.4")));
        }
    }

    #[test]
    fn what_is_no_list_is_refused_and_an_empty_one_is_not() {
        assert!(matches!(of(b"<html>\n<body>"), Err(ListError::NotUnderstood(_))));
        assert!(matches!(of(b"\x1f\x8b damaged"), Err(ListError::Read(..))));
        for empty in [&b""[..], b"# nobody\n\n"] {
            assert!(of(empty).unwrap().0.is_empty());
        }
        // A line without an end is not held, and what stands behind it counts.
        let mut long = vec![b'x'; 1 << 20];
        long.extend_from_slice(b"\n1.2.3.4\n");
        let (filter, read) = of(&long).unwrap();
        assert_eq!((read.ranges, read.broken, filter.len()), (1, 1, 1));
        let file = read_file(&List::named("/nowhere/at/all"));
        assert!(matches!(file, Err(ListError::Read(_, why)) if why == "there is no such file"));
        assert!(matches!(read_file(&List::named("/")), Err(ListError::Read(..))));
    }

    #[test]
    fn an_address_of_a_list_is_told_without_what_may_be_a_key() {
        let list = List::named("HTTPS://lists.example/level1.gz?key=secret");
        assert!(matches!(&list, List::Url(_)) && !list.to_string().contains("secret"));
        assert!(matches!(List::named("https.txt"), List::File(_)));
    }
}
