//! Sending answers to the workspace's address, as Standard Webhooks has it: signed with a secret that both know, sent again until it
//! is taken, never two of one conversation in another order, and never to an address inside of the server's own network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use uuid::Uuid;

use super::{
    model::again_after,
    sql::{self, Due},
};
use crate::{
    error::AppError,
    server::{db_error::internal, lanes::Reason, state::AppState},
};

/// The other side answers within this time.
const PATIENCE: Duration = Duration::from_secs(15);
const MARK: &str = "whsec_";

/// What is signed with.
pub fn fresh_secret() -> Result<Vec<u8>, AppError> {
    let mut secret = vec![0; 32];
    rand::fill(&mut secret).map_err(|_| internal("no randomness"))?;
    Ok(secret)
}

/// A secret as those who check signatures write it.
pub fn shown(secret: &[u8]) -> String {
    format!("{MARK}{}", STANDARD.encode(secret))
}

/// `v1,…` over id, time and body.
pub fn signature(secret: &[u8], id: &str, timestamp: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes())))
}

/// Whether an address is one that everybody could reach: not this machine's, not its network's, none with a special meaning.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped().or_else(|| embedded(ip)) {
            Some(ip) => is_public_v4(ip),
            // 2000::/3 is what is given out; of that not what is for documentation.
            None => ip.segments()[0] & 0xe000 == 0x2000 && !(ip.segments()[0] == 0x2001 && ip.segments()[1] == 0xdb8),
        },
    }
}

/// The IPv4 address that a translated one leads to (64:ff9b::/96, 2002::/16).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Names lead to public addresses alone; what is looked up is what is connected to, so that no second answer of the same name server
/// leads elsewhere.
struct Outside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// What sends.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    private: bool,
}

impl Sender {
    /// `private`: addresses of the server's own network as well.
    pub fn new(private: bool) -> Result<Self, AppError> {
        let builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent("moat");
        let builder = if private { builder } else { builder.dns_resolver(Arc::new(Outside)) };
        Ok(Self { http: builder.build().map_err(internal)?, private })
    }

    /// Sends it once; why it was not taken, in words for an admin.
    async fn send(&self, due: &Due) -> Result<(), String> {
        let url = reqwest::Url::parse(&due.url).map_err(|_| "This is no address.".to_owned())?;
        // An address in figures is looked up by nobody.
        let ip = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if !self.private && ip.is_some_and(|ip| !is_public(ip)) {
            return Err("This address is inside of the server's own network.".to_owned());
        }
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let id = format!("msg_{}", due.id.0.simple());
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature(&due.secret, &id, timestamp, &due.body))
            .body(due.body.clone());
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("Answered with status {}.", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err("Did not answer within 15 s.".to_owned()),
            Err(error) => {
                tracing::debug!(%error, "webhook");
                Err("Can't be reached, or leads into the server's own network.".to_owned())
            }
        }
    }
}

/// Sends everything that is due now, one after the other; gives how much.
pub async fn all(state: &AppState) -> Result<usize, AppError> {
    let mut sent = 0;
    while let Some(due) = take(state).await? {
        deliver(state.clone(), due).await?;
        sent += 1;
    }
    Ok(sent)
}

/// Takes the next thing that is due, under a lease of its own.
pub async fn take(state: &AppState) -> Result<Option<(Due, Uuid)>, AppError> {
    let lease = Uuid::new_v4();
    let mut lane = state.lanes.service(Reason::Webhooks).await?;
    let due = sql::take(&mut lane, lease).await?;
    lane.commit().await?;
    Ok(due.map(|due| (due, lease)))
}

/// Sends something that was taken, and writes down how it went.
pub async fn deliver(state: AppState, (due, lease): (Due, Uuid)) -> Result<(), AppError> {
    let outcome = state.sender.send(&due).await;
    let mut lane = state.lanes.service(Reason::Webhooks).await?;
    match outcome {
        Ok(()) => sql::end(&mut lane, due.id, lease, true, "", None).await?,
        Err(why) => sql::end(&mut lane, due.id, lease, false, &why, again_after(due.tries)).await?,
    }
    lane.commit().await?;
    // What was said after it may be due now.
    state.due.notify_one();
    Ok(())
}

/// Forgets what was taken a week ago.
pub async fn forget(state: &AppState) -> Result<(), AppError> {
    let mut lane = state.lanes.service(Reason::Sweep).await?;
    sql::forget(&mut lane).await?;
    lane.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standards_own_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn no_address_of_the_servers_own_network_is_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
