//! Which proxy an address is asked through, from the usual variables.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower case first, as curl and pip read
//! them. `NO_PROXY` lists hosts (their subdomains included), `host:port`, IPv4 networks and `*`.

use std::net::Ipv4Addr;

use url::Url;

use super::Environment;

/// The proxy for `url`, if there is one. `configured` (pip's own setting) goes before the
/// variables; `NO_PROXY` counts for both.
pub(super) fn for_url(
    url: &Url,
    environment: &Environment,
    configured: Option<&str>,
) -> Option<String> {
    if either_case(environment, "NO_PROXY").is_some_and(|list| excepted(url, list)) {
        return None;
    }
    let variable = match url.scheme() {
        "https" => "HTTPS_PROXY",
        _ => "HTTP_PROXY",
    };
    configured
        .filter(|proxy| !proxy.is_empty())
        .or_else(|| either_case(environment, variable))
        .or_else(|| either_case(environment, "ALL_PROXY"))
        .map(str::to_owned)
}

fn either_case<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment
        .get(&name.to_lowercase())
        .or_else(|| environment.get(name))
}

fn excepted(url: &Url, list: &str) -> bool {
    let host = url.host_str().unwrap_or_default().to_lowercase();
    let host = host.trim_matches(['[', ']']);
    let port = url.port_or_known_default();
    let entries = list.split([',', ' ']).map(str::trim);
    entries.filter(|entry| !entry.is_empty()).any(|entry| {
        entry == "*" || in_network(host, entry) || names_host(host, port, &entry.to_lowercase())
    })
}

fn names_host(host: &str, port: Option<u16>, entry: &str) -> bool {
    let (name, entry_port) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => match digits.parse::<u16>() {
            Ok(number) => (name, Some(number)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    };
    if entry_port.is_some() && entry_port != port {
        return false;
    }
    let name = name.trim_start_matches('*').trim_start_matches('.');
    host == name
        || host
            .strip_suffix(name)
            .is_some_and(|rest| !name.is_empty() && rest.ends_with('.'))
}

/// Whether `host` is an IPv4 address inside an entry such as `10.0.0.0/8`.
fn in_network(host: &str, entry: &str) -> bool {
    let Some((network, bits)) = entry.split_once('/') else {
        return false;
    };
    let (Ok(host), Ok(network), Ok(bits)) = (
        host.parse::<Ipv4Addr>(),
        network.parse::<Ipv4Addr>(),
        bits.parse::<u32>(),
    ) else {
        return false;
    };
    let shift = 32u32.saturating_sub(bits);
    host.to_bits().checked_shr(shift).unwrap_or(0)
        == network.to_bits().checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, variables: &[(&str, &str)], proxy: Option<&str>) {
        let environment = Environment::of(variables);
        let url = Url::parse(url).unwrap();
        assert_eq!(for_url(&url, &environment, None).as_deref(), proxy);
    }

    #[test]
    fn the_schemes_variable_comes_before_the_one_for_all() {
        let all = [
            ("HTTP_PROXY", "http://p:1"),
            ("https_proxy", "http://s:2"),
            ("ALL_PROXY", "socks5://a:3"),
        ];
        check("http://host/x", &all, Some("http://p:1"));
        check("https://host/x", &all, Some("http://s:2"));
        check("https://host/x", &all[2..], Some("socks5://a:3"));
        check(
            "http://host/x",
            &[
                ("HTTP_PROXY", "http://up:1"),
                ("http_proxy", "http://low:1"),
            ],
            Some("http://low:1"),
        );
        check("http://host/x", &[("HTTP_PROXY", "")], None);
        check("http://host/x", &[], None);
    }

    #[test]
    fn no_proxy_names_hosts_ports_networks_and_everything() {
        let check = |url: &str, list: &str, excepted: bool| {
            let variables = [("ALL_PROXY", "http://p:1"), ("no_proxy", list)];
            check(url, &variables, (!excepted).then_some("http://p:1"));
        };
        check("http://a.example.org/", "localhost, example.org", true);
        check("http://a.example.org/", ".example.org", true);
        check("http://a.example.org/", "*.EXAMPLE.org", true);
        check("http://notexample.org/", "example.org", false);
        check("http://127.0.0.1:8080/", "127.0.0.1", true);
        check("http://host:8080/", "host:8080", true);
        check("http://host/", "host:8080", false);
        check("http://10.2.3.4/", "10.0.0.0/8", true);
        check("http://11.2.3.4/", "10.0.0.0/8", false);
        check("http://11.2.3.4/", "0.0.0.0/0", true);
        check("http://[::1]/", "::1", true);
        check("http://host/", "*", true);
        check("http://host/", ",.,", false);
    }

    #[test]
    fn pips_own_proxy_goes_first_but_not_before_no_proxy() {
        let url = Url::parse("https://host/").unwrap();
        let environment = Environment::of(&[("HTTPS_PROXY", "http://env:1")]);
        let proxy = for_url(&url, &environment, Some("http://pip:1"));
        assert_eq!(proxy.as_deref(), Some("http://pip:1"));
        let environment = Environment::of(&[("NO_PROXY", "host")]);
        assert_eq!(for_url(&url, &environment, Some("http://pip:1")), None);
    }
}
