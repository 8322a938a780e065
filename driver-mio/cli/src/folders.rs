//! Where the system keeps configuration and state of the user, by the XDG base directory specification.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder of our configuration, if the user has one.
pub fn config() -> Option<PathBuf> {
    below("XDG_CONFIG_HOME", ".config")
}

/// The folder of our state, if the user has one.
pub fn state() -> Option<PathBuf> {
    below("XDG_STATE_HOME", ".local/state")
}

fn below(variable: &str, in_home: &str) -> Option<PathBuf> {
    let named = absolute(std::env::var_os(variable));
    let base = named.or_else(|| {
        // A service user has a home that is not there, and that is not ours to make.
        let home = absolute(std::env::var_os("HOME")).filter(|home| home.is_dir())?;
        Some(home.join(in_home))
    })?;
    Some(base.join("eddyline"))
}

/// A path that is not absolute counts as none: it would be another one in each folder.
fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}
