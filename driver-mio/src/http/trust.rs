//! Whom HTTPS trusts: the certificates that the system trusts, and where it has none those of Mozilla.

use std::io;
use std::sync::{Arc, OnceLock};

use eddyline::HttpFailure;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// The configuration of all connections.
pub(super) fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, rustls::Error>> = OnceLock::new();
    CONFIG.get_or_init(make).clone()
}

fn make() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What an error of a connection means, where it is one of TLS.
pub(super) fn failure(error: &io::Error) -> Option<HttpFailure> {
    error.get_ref()?.downcast_ref().map(|error| match error {
        rustls::Error::InvalidCertificate(_) => HttpFailure::Certificate,
        _ => HttpFailure::Tls,
    })
}
