//! Where a request comes from when proxies stand in front. Forwarded headers are anybody's to write, so what counts is what
//! our own proxies have added: from the right, the first address that is none of theirs.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::{IpNet, Ipv6Net};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network of MOAT_PROXIES, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "give an address or a network, such as 10.0.0.0/8".to_owned())
}

/// The address to count for whoever sent this. `peer` is the other end of the connection; whatever is not certain is it.
pub fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let ours = |ip: IpAddr| proxies.iter().any(|net| net.contains(&ip));
    if !ours(peer) {
        return peer;
    }
    let believed = |hops: Option<Vec<&str>>| {
        for hop in hops?.iter().rev() {
            let ip = address(hop)?;
            if !ours(ip) {
                return Some(ip);
            }
        }
        None
    };
    let plain = headers.contains_key(X_FORWARDED_FOR).then(|| believed(forwarded_for(headers)));
    let rich = headers.contains_key(header::FORWARDED).then(|| believed(forwarded(headers)));
    // A proxy writes one of the two and passes the other on as it came: where they differ, one of them is a lie.
    match (plain, rich) {
        (Some(one), Some(other)) if one != other => None,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => None,
    }
    .unwrap_or(peer)
}

/// What somebody is counted by: an address of version 4, or the network that an address of version 6 is in. Whoever has one of
/// those has the whole /64, and could count as somebody else with every request.
pub fn place(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(v6) => Ipv6Net::new_assert(v6, 64).trunc().to_string(),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

fn forwarded_for(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut hops = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        hops.extend(value.to_str().ok()?.split(',').map(str::trim));
    }
    Some(hops)
}

/// The `for` of each element of `Forwarded` (RFC 7239).
fn forwarded(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut hops = Vec::new();
    for value in headers.get_all(header::FORWARDED) {
        for element in outside_quotes(value.to_str().ok()?, ',')? {
            let mut named = outside_quotes(element, ';')?.into_iter().filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
            });
            let (hop, None) = (named.next()?, named.next()) else { return None };
            let hop = match hop.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => hop,
            };
            hops.push(hop);
        }
    }
    Some(hops)
}

/// The parts between separators that stand in no quoted string. `None` if one is left open.
fn outside_quotes(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// An address as proxies write it: with or without a port, one of version 6 with or without brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let ip = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|at| at.ip()));
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"].map(|net| network(net).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        client(peer.parse().unwrap(), &map, &proxies).to_string()
    }

    #[test]
    fn what_somebody_writes_themselves_does_not_count() {
        // Not through a proxy of ours.
        assert_eq!(from("203.0.113.9", &[("x-forwarded-for", "1.1.1.1")]), "203.0.113.9");
        assert_eq!(from("203.0.113.9", &[("forwarded", "for=1.1.1.1")]), "203.0.113.9");
        // Through one, which appends what it saw.
        for spoofed in ["1.1.1.1, ", "10.0.0.1, ", "nonsense, ", "1.1.1.1,10.9.9.9 ,, ", ""] {
            let value = format!("{spoofed}203.0.113.9");
            assert_eq!(from("10.0.0.1", &[("x-forwarded-for", &value)]), "203.0.113.9", "{value}");
        }
        assert_eq!(
            from("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9, 10.0.0.2")]),
            "203.0.113.9"
        );
        // In the header that the proxy does not write.
        let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(from("10.0.0.1", &both), "10.0.0.1");
        let both = [("x-forwarded-for", "nonsense"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(from("10.0.0.1", &both), "10.0.0.1");
    }

    #[test]
    fn the_proxies_words_count_in_every_form_they_are_written_in() {
        for (header, value, expected) in [
            ("x-forwarded-for", "203.0.113.9:4711", "203.0.113.9"),
            ("x-forwarded-for", "2001:db8::9", "2001:db8::9"),
            ("x-forwarded-for", "[2001:db8::9]:4711, 2001:db8:1::1", "2001:db8::9"),
            ("x-forwarded-for", "::ffff:203.0.113.9", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
            ("forwarded", "For=\"[2001:db8::9]:4711\"", "2001:db8::9"),
            ("forwarded", "for=1.1.1.1, proto=https; for=\"203.0.113.9\", for=10.2.3.4", "203.0.113.9"),
        ] {
            assert_eq!(from("10.0.0.1", &[(header, value)]), expected, "{value}");
            assert_eq!(from("::ffff:10.0.0.1", &[(header, value)]), expected, "{value}");
        }
        let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(from("192.0.2.7", &both), "203.0.113.9");
    }

    #[test]
    fn a_place_is_an_address_or_a_network_of_version_6() {
        for (ip, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::6", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(place(ip.parse().unwrap()), expected);
        }
    }

    #[test]
    fn what_is_malformed_or_says_nothing_falls_back_to_the_connection() {
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
        for value in ["", "unknown", "203.0.113.9, ", "203.0.113.9, nonsense", "203.0.113.9:99999", "10.0.0.5", "1.1.1"]
        {
            assert_eq!(from("10.0.0.1", &[("x-forwarded-for", value)]), "10.0.0.1", "{value:?}");
        }
        for value in [
            "",
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=1.1.1.1;for=203.0.113.9",
            "for=\"203.0.113.9",
            "for=\"1.1.1.1, for=203.0.113.9",
            "for=203.0.113.9, for=",
        ] {
            assert_eq!(from("10.0.0.1", &[("forwarded", value)]), "10.0.0.1", "{value:?}");
        }
    }

    #[test]
    fn a_setting_is_a_network_or_an_address() {
        assert_eq!(network(" 10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }
}
