//! Where webhooks may go: not into the operator's own network, unless he says so.
//!
//! The address is looked at after the name was resolved, and the connection is made to that very
//! address, so that a name that resolves to something else a moment later gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Hosts and networks that may be reached although their addresses are private.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    hosts: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Allowed {
    /// Reads what the configuration allows.
    pub fn new(entries: &[String]) -> Self {
        let mut allowed = Self::default();
        for entry in entries {
            match network(entry.trim()) {
                Some(network) => allowed.networks.push(network),
                None => allowed.hosts.push(entry.trim().to_ascii_lowercase()),
            }
        }
        allowed
    }

    fn host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.contains(&host)
    }

    fn address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.networks.iter().any(|network| contains(*network, ip))
    }

    /// Tells whether a URL may be asked at all, before its name is resolved.
    ///
    /// # Errors
    /// Says what is wrong with it and what to do.
    pub fn check(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<IpAddr>().ok();
        let own = self.host(bare) || literal.is_some_and(|ip| self.listed(ip));
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user or a password is not taken".to_owned());
        }
        match url.scheme() {
            "https" => {}
            "http" if own => {}
            "http" => return Err("it must begin with https://".to_owned()),
            _ => return Err("it must begin with https://".to_owned()),
        }
        if !own && literal.is_some_and(|ip| !self.address(ip)) {
            return Err(private(bare));
        }
        Ok(url)
    }

    /// Tells whether an address is in a network the operator named.
    fn listed(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| contains(*network, ip))
    }
}

fn private(host: &str) -> String {
    format!(
        "{host} has a private address; the operator can allow it in notifications.allowed_hosts"
    )
}

/// Resolves names to addresses that may be reached.
#[derive(Debug)]
pub struct Resolver(pub Arc<Allowed>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let any = allowed.host(&host);
            let found = found.filter(|address| any || allowed.address(address.ip()));
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(private(&host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = if bits.is_empty() {
        most
    } else {
        bits.parse().ok()?
    };
    (bits <= most).then_some((ip, bits))
}

fn contains((network, bits): (IpAddr, u8), ip: IpAddr) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let shift = width - u32::from(bits);
        shift >= width || one >> shift == other >> shift
    };
    match (network, ip) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            same(u128::from(u32::from(one)), u128::from(u32::from(other)), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.into(), other.into(), 128),
        _ => false,
    }
}

/// Tells whether an address belongs to the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    const RESERVED: [(Ipv4Addr, u8); 16] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 31, 196, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    let ip = IpAddr::V4(ip);
    let reserved = |(net, bits): &(Ipv4Addr, u8)| contains((IpAddr::V4(*net), *bits), ip);
    !RESERVED.iter().any(reserved)
}

/// Only what is given out as global unicast, less what leads to an IPv4 address or to nobody.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let parts = ip.segments();
    let global = parts[0] & 0xe000 == 0x2000;
    let tunnel = parts[0] == 0x2002 || (parts[0] == 0x2001 && parts[1] < 0x200);
    let documentation = (parts[0] == 0x2001 && parts[1] == 0xdb8) || parts[0] == 0x3fff;
    global && !tunnel && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_however_they_are_written() {
        let nobody = Allowed::default();
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fc00::1]",
            "[fe80::1]",
            "[ff02::1]",
        ] {
            let answer = nobody.check(&format!("https://{host}/x"));
            assert!(answer.is_err(), "{host}: {answer:?}");
        }
        assert!(nobody.check("https://1.1.1.1/x").is_ok());
        assert!(nobody.check("https://[2606:4700::1111]/x").is_ok());
        assert!(nobody.check("https://hooks.example.org/x").is_ok());
    }

    #[test]
    fn only_hosts_the_operator_named_may_be_asked_without_tls() {
        let entries = ["10.1.0.0/16".to_owned(), "Hooks.LAN".to_owned()];
        let allowed = Allowed::new(&entries);
        assert!(allowed.check("http://10.1.2.3/").is_ok());
        assert!(allowed.check("http://hooks.lan/").is_ok());
        assert!(allowed.check("https://[::ffff:10.1.2.3]/").is_ok());
        assert!(allowed.check("http://10.2.2.3/").is_err());
        assert!(allowed.check("http://hooks.example.org/").is_err());
        assert!(allowed.check("https://u:p@hooks.lan/").is_err());
        assert!(allowed.check("file:///etc/passwd").is_err());
    }

    #[tokio::test]
    async fn name_of_this_machine_resolves_to_nothing_unless_allowed() {
        let resolve = async |allowed: Allowed| {
            let resolver = Resolver(Arc::new(allowed));
            resolver.resolve("localhost".parse().unwrap()).await.is_ok()
        };
        assert!(!resolve(Allowed::default()).await);
        assert!(resolve(Allowed::new(&["localhost".to_owned()])).await);
    }
}
