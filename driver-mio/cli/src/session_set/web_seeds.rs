//! How it stands with the web seeds of a torrent, as a running session tells `session list`.

use eddyline::{WebSeedState, WebSeedView};
use serde::{Deserialize, Serialize};

use super::super::documents::ListedWebSeed;
use super::super::passkeys::without_passkey;
use super::super::units::{count, rate, size};

/// Web seeds of a torrent that are told of.
const MOST: usize = 50;

/// How it stands with one web seed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct WebSeedStatus {
    url: String,
    /// As [`state_name`] calls it.
    state: String,
    failures: u32,
    error: Option<String>,
    requests: u32,
    down_rate: u64,
    downloaded: u64,
}

impl WebSeedStatus {
    /// Those of a torrent.
    pub fn all(views: &[WebSeedView]) -> Vec<Self> {
        views.iter().take(MOST).map(Self::of).collect()
    }

    fn of(view: &WebSeedView) -> Self {
        Self {
            url: view.url.clone(),
            state: state_name(view.state).to_owned(),
            failures: view.failures,
            error: view.message.clone(),
            requests: view.requests,
            down_rate: if view.requests > 0 { view.down_rate } else { 0 },
            downloaded: view.downloaded,
        }
    }

    /// The same for `--json`.
    pub fn listed(&self, verbose: u8) -> ListedWebSeed<'_> {
        ListedWebSeed {
            url: without_passkey(&self.url, verbose),
            state: &self.state,
            failures: self.failures,
            error: self.error.as_deref(),
            requests: self.requests,
            down_rate: self.down_rate,
            downloaded: self.downloaded,
        }
    }

    /// The same in a line.
    pub fn words(&self, verbose: u8) -> String {
        let url = without_passkey(&self.url, verbose);
        let mut told = vec![format!("web seed {url}: {}", self.state)];
        told.extend(self.error.clone());
        if self.failures > 1 {
            told.push(format!("failed {} in a row", count(self.failures, "time")));
        }
        if self.down_rate > 0 {
            told.push(format!("down {}", rate(self.down_rate)));
        }
        if self.downloaded > 0 {
            told.push(format!("{} from it", size(self.downloaded)));
        }
        told.join(", ")
    }
}

/// A state in a word or two.
fn state_name(state: WebSeedState) -> &'static str {
    match state {
        WebSeedState::Idle => "idle",
        WebSeedState::Active => "working",
        WebSeedState::Waiting(_) => "failing",
        WebSeedState::GivenUp => "given up",
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the lines of web seeds.

    use super::*;

    #[test]
    fn a_web_seed_is_told_in_a_line_without_its_password() {
        let mut view = WebSeedView {
            url: "http://me:secret@mirror.example/x".into(),
            by_user: true,
            state: WebSeedState::Active,
            requests: 2,
            down_rate: 2 << 20,
            downloaded: 3 << 20,
            failures: 0,
            message: None,
        };
        let words = |view: &WebSeedView| WebSeedStatus::of(view).words(0);
        assert!(
            words(&view).ends_with("mirror.example/x: working, down 2.0 MiB/s, 3.0 MiB from it")
        );
        assert!(!words(&view).contains("secret"), "{}", words(&view));
        let (failures, message) = (3, Some("timed out".to_owned()));
        view = WebSeedView { failures, message, requests: 0, downloaded: 0, ..view };
        view.state = WebSeedState::GivenUp;
        assert!(words(&view).ends_with("given up, timed out, failed 3 times in a row"));
        assert_eq!(WebSeedStatus::of(&view).listed(0).down_rate, 0);
    }
}
