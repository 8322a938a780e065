//! Whom HTTPS trusts: the certificates that the system trusts, and where it has none those of Mozilla.

use std::io;
use std::sync::OnceLock;

use eddyline::HttpFailure;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The configuration of all connections.
pub(super) fn config() -> TlsConfig {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs().certs;
        if found.is_empty() {
            return RootCerts::WebPki;
        }
        found.iter().map(|root| Certificate::from_der(root).to_owned()).into()
    });
    TlsConfig::builder().root_certs(roots.clone()).build()
}

/// What an error of a connection means, where it is one of TLS.
pub(super) fn failure(error: &io::Error) -> Option<HttpFailure> {
    error.get_ref()?.downcast_ref().map(meaning)
}

/// What a failure of TLS means.
pub(super) fn meaning(error: &rustls::Error) -> HttpFailure {
    match error {
        rustls::Error::InvalidCertificate(_) => HttpFailure::Certificate,
        _ => HttpFailure::Tls,
    }
}
