//! Magnets that name a publisher in place of a torrent (BEP 46): which torrent is meant stands in the
//! DHT.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline::dht::{NodeId, mutable_target};
use eddyline::metainfo::Magnet;
use eddyline::{Command, DhtRequest, Notice};
use eddyline_session::Source;

use super::exit::{Failure, UNFINISHED, USAGE};
use super::session::Session;
use super::signals::{Ended, Signals};

/// How often the DHT is asked until it knows.
const AGAIN: Duration = Duration::from_secs(5);

/// Puts the torrent in the place of its publisher.
pub fn look_up(
    session: &mut Session,
    source: Source,
    signals: &Signals,
    patience: Option<Duration>,
) -> Result<Ended<Source>, Failure> {
    let Source::Magnet(magnet) = &source else { return Ok(Ended::Done(source)) };
    let Some(publisher) = magnet.publisher.clone() else { return Ok(Ended::Done(source)) };
    if magnet.v1.is_some() || magnet.v2.is_some() {
        return Ok(Ended::Done(source));
    }
    if !session.driver.engine().config().dht {
        let text = "which torrent the magnet means stands in the DHT; leave out --no-dht";
        return Err(Failure::new(USAGE, text));
    }
    let target = mutable_target(&publisher.key, &publisher.salt);
    let salt = Some(Bytes::from(publisher.salt));
    let started = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        if asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            let request = DhtRequest::Get { target, salt: salt.clone() };
            session.driver.command(Command::Dht(Box::new(request)));
            asked = Some(Instant::now());
        }
        let notices = session.turn(Duration::from_millis(200))?;
        if let Some(hash) = notices.iter().find_map(|notice| published(notice, target)) {
            let found = Magnet { v1: Some(hash), ..(**magnet).clone() };
            return Ok(Ended::Done(Source::Magnet(found.into())));
        }
        if let Some(code) = signals.exit_code() {
            return Ok(Ended::BySignal(code));
        }
        if patience.is_some_and(|patience| started.elapsed() >= patience) {
            let text = "the DHT did not say which torrent the magnet means in the time that \
                        --stop-timeout allows";
            return Err(Failure::new(UNFINISHED, text));
        }
    }
}

fn published(notice: &Notice, target: NodeId) -> Option<eddyline::base::hash::Sha1Hash> {
    match notice {
        Notice::DhtAnswered { target: asked, outcome, .. } if *asked == target => {
            outcome.item.as_ref().and_then(eddyline::dht::Item::published)
        }
        _ => None,
    }
}
