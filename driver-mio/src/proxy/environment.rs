//! What `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say. They are for HTTP, as everywhere.

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::{Proxy, ProxyError};

/// The proxies that the environment names.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts to which none of them is asked for the way.
    except: String,
}

impl Environment {
    /// As the variables say that `get` knows: the lower case counts first. A value that cannot be used is an error, for
    /// without it everything would go directly.
    ///
    /// # Errors
    /// With the name of the variable.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, (&'static str, ProxyError)> {
        let first = |names: [&'static str; 2]| {
            let mut found = names.iter().filter_map(|name| Some((*name, get(name)?)));
            found.next().filter(|(_, value)| !value.trim().is_empty())
        };
        let proxy = |names| match first(names) {
            None => Ok(None),
            Some((name, value)) => {
                // Without a scheme it is one of HTTP.
                let scheme = if value.contains("://") { "" } else { "http://" };
                let proxy = format!("{scheme}{}", value.trim()).parse::<Proxy>();
                proxy.map(Some).map_err(|error| (name, error))
            }
        };
        let all = proxy(["all_proxy", "ALL_PROXY"])?;
        // A web server gives its scripts what a client calls `Proxy:` under this name.
        let shouted = if get("REQUEST_METHOD").is_some() { "http_proxy" } else { "HTTP_PROXY" };
        let http = proxy(["http_proxy", shouted])?.or_else(|| all.clone());
        let https = proxy(["https_proxy", "HTTPS_PROXY"])?.or(all);
        let except = first(["no_proxy", "NO_PROXY"]).map(|(_, value)| value);
        Ok(Self { http, https, except: except.unwrap_or_default() })
    }

    /// The proxy for a server; `None` where it is called directly.
    pub(crate) fn proxy_for(&self, tls: bool, host: &str) -> Option<&Proxy> {
        let proxy = if tls { self.https.as_ref() } else { self.http.as_ref() }?;
        let server = Uri::builder().scheme("http").authority(host).path_and_query("/").build();
        let rules = Matcher::builder().http("http://proxy.invalid").no(self.except.as_str());
        let excepted = server.is_ok_and(|server| rules.build().intercept(&server).is_none());
        (!excepted).then_some(proxy)
    }
}
