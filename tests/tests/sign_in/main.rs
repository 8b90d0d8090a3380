//! The other ways to sign in, over the real binary and real counterparts: a provider of OpenID Connect
//! (oidc-provider-mock over Authlib, which asks for PKCE and lies when told to) and OpenLDAP's slapd.
//!
//! A program that was built without a way refuses the file that asks for it; with it, the way is gone.

mod browser;
mod directory;
mod ldap;
mod oidc;
mod provider;

use lathe_tests::{Home, text};

const PASSWORD: &str = "correct horse battery";

/// Whether the program was built with a way to sign in.
fn has(feature: &str) -> bool {
    let version = Home::new().json(&["version", "--json"]);
    let features = version["features"].as_array().expect("a list");
    features.iter().any(|it| it == feature)
}

/// A home with an administrator who has a password here, and that password.
fn home() -> (Home, String) {
    let home = Home::new();
    let root = home.json(&["people", "add", "root", "--role", "administrator", "--json"]);
    let password = root["password"].as_str().expect("it is made").to_owned();
    (home, password)
}

/// Writes the home's `sign-in.yaml`.
fn write(home: &Home, name: &str, text: &str) {
    std::fs::write(home.path().join(name), text).expect("writes");
}

/// What a person is, as `lathe people list` has it.
fn person(home: &Home, name: &str) -> serde_json::Value {
    let all = home.json(&["people", "list", "--json"]);
    let all = all["people"].as_array().expect("a list");
    let found = all.iter().find(|it| it["name"] == name);
    found.cloned().unwrap_or_default()
}

/// Where nothing listens now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_way_that_the_program_lacks_is_refused_with_how_to_build_it() {
    let ways = [
        (
            "oidc",
            "address: http://127.0.0.1:7878\noidc:\n  - {name: a, issuer: 'http://127.0.0.1:1', client: a, \
             roles: {tuner: [a]}}\n",
        ),
        (
            "ldap",
            "ldap:\n  - {name: a, url: 'ldap://127.0.0.1:1', dn: 'uid={name}', roles: {tuner: [a]}}\n",
        ),
    ];
    for (feature, file) in ways {
        if has(feature) {
            continue;
        }
        let (home, _) = home();
        write(&home, "sign-in.yaml", file);
        let output = home.output(&["up", "--listen", "127.0.0.1:0"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("sign-in-feature"), "{said}");
        assert!(said.contains(&format!("--features {feature}")), "{said}");
        // Other commands are as they were.
        home.json(&["people", "list", "--json"]);
    }
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_with_its_line() {
    let (home, _) = home();
    write(
        &home,
        "sign-in.yaml",
        "ldap:\n  - name: a\n    url: ldap://ldap.example.org\n    \
                                  dn: uid={name}\n    roles: {tuner: [a]}\n",
    );
    let output = home.output(&["up", "--listen", "127.0.0.1:0"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("sign-in-file") && said.contains("sign-in.yaml:3"),
        "{said}"
    );
}
