//! An error of the system, as part of errors that can be kept, copied and compared.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// What the system said. Two are equal where kind and words are.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SystemError(Arc<io::Error>);

impl From<io::Error> for SystemError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<io::ErrorKind> for SystemError {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl Deref for SystemError {
    type Target = io::Error;

    fn deref(&self) -> &io::Error {
        &self.0
    }
}

impl PartialEq for SystemError {
    fn eq(&self, other: &Self) -> bool {
        let same =
            (self.0.kind(), self.0.raw_os_error()) == (other.0.kind(), other.0.raw_os_error());
        same && (self.0.raw_os_error().is_some() || self.0.to_string() == other.0.to_string())
    }
}

impl Eq for SystemError {}

#[cfg(test)]
mod tests {
    //! Unit tests of errors of the system.

    use super::*;

    #[test]
    fn errors_of_the_system_are_compared_by_what_they_say() {
        let denied = || SystemError::from(io::Error::from_raw_os_error(13));
        assert_eq!(denied(), denied().clone());
        assert_ne!(denied(), io::Error::from_raw_os_error(2).into());
        let other = |text: &str| SystemError::from(io::Error::other(text.to_owned()));
        assert_eq!(other("a"), other("a"));
        assert_ne!(other("a"), other("b"));
        assert_eq!(denied().kind(), io::ErrorKind::PermissionDenied);
    }
}
