//! What DNS says. Each question has its end within seconds; nothing is remembered, since whoever asks has just changed it.

use std::{net::SocketAddr, time::Duration};

use futures::future::BoxFuture;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::RData},
};

/// For one question with all its tries.
const PATIENCE: Duration = Duration::from_secs(8);
/// For one try.
const TRY: Duration = Duration::from_secs(3);

/// Asks for the TXT records of a name, which ends in a dot. None at all is an answer too.
pub trait Resolver: Send + Sync {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, NoAnswer>>;
}

/// DNS did not say whether there is something: away, silent, or it failed itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

/// The name server of the settings, or the system's own.
pub struct Dns(Result<TokioResolver, String>);

impl Dns {
    pub fn new(server: Option<SocketAddr>) -> Self {
        let builder = match server {
            None => TokioResolver::builder_tokio(),
            Some(at) => {
                let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                    way.port = at.port();
                    way
                });
                let server = NameServerConfig::new(at.ip(), true, ways.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
            }
        };
        let built = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = TRY;
            options.attempts = 1;
            options.cache_size = 0;
            options.use_hosts_file = ResolveHosts::Never;
            builder.build()
        });
        Self(built.map_err(|error| error.to_string()))
    }
}

impl Resolver for Dns {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, NoAnswer>> {
        Box::pin(async move {
            let dns = self.0.as_ref().map_err(|why| NoAnswer(why.clone()))?;
            let silent = |_| NoAnswer("no answer in time".to_owned());
            let lookup = match tokio::time::timeout(PATIENCE, dns.txt_lookup(name)).await.map_err(silent)? {
                Ok(lookup) if lookup.message().response_code == ResponseCode::NoError => lookup,
                Ok(lookup) => return Err(NoAnswer(lookup.message().response_code.to_string())),
                Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                    if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
                {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(NoAnswer(error.to_string())),
            };
            let text = |data: &RData| match data {
                RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
                _ => None,
            };
            Ok(lookup.answers().iter().filter_map(|record| text(&record.data)).collect())
        })
    }
}
