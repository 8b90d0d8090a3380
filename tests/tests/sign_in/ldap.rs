//! Directories, against OpenLDAP: over StartTLS with a search, over TLS with a template.

use lathe_tests::{Home, Serving};
use serde_json::json;

use super::browser::Browser;
use super::directory::Directory;
use super::{PASSWORD, has, home, person, write};

const ROLES: &str = "roles: {tuner: ['CN=Tuners,ou=groups,dc=example,dc=org']}";

/// A directory; none where the program or the machine lacks what it takes.
fn directory() -> Option<Directory> {
    let directory = has("ldap").then(Directory::start).flatten();
    if directory.is_none() {
        eprintln!(
            "not run: it takes a program with the feature `ldap`, and slapd, which LATHE_TEST_SLAPD names \
             the folder of; cargo xtask ci brings both"
        );
    }
    directory
}

/// Looked for by name or address, over TLS that begins after the connection.
fn searching(directory: &Directory, roles: &str) -> String {
    format!(
        "ldap:
  - name: directory
    url: ldap://localhost:{}
    start_tls: true
    ca: {}
    search:
      reader: cn=reader,dc=example,dc=org
      secret: {{file: reader.secret}}
      base: ou=people,dc=example,dc=org
      filter: (|(uid={{name}})(mail={{name}}))
    {roles}
",
        directory.ports.0,
        directory.authority().display(),
    )
}

fn up(home: &Home, file: &str) -> Serving {
    write(home, "reader.secret", "reader-secret\n");
    write(home, "sign-in.yaml", file);
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    Serving::start_logged(home, &mut command, &home.path().join("up.log"))
}

/// Status and page of a login that lets nobody in.
fn refused(serving: &Serving, name: &str, password: &str) -> (u16, String) {
    let mut browser = Browser::at(&serving.url);
    let answer = browser.log_in(name, password);
    assert!(
        browser.cookies.is_empty() && browser.me().is_null(),
        "{name}"
    );
    (answer.status, answer.page)
}

#[test]
fn somebody_of_the_directory_comes_in_with_the_roles_of_their_groups() {
    let Some(directory) = directory() else { return };
    let (home, _) = home();
    let serving = up(&home, &searching(&directory, ROLES));
    let mut anna = Browser::at(&serving.url);
    assert_eq!(anna.log_in("anna", PASSWORD).status, 303);
    assert_eq!(anna.me()["roles"], json!(["tuner"]));
    assert_eq!(anna.me()["display"], "Anna Berg");
    let subject = "uid=anna,ou=people,dc=example,dc=org";
    let origin = json!({ "kind": "ldap", "way": "directory", "subject": subject });
    assert_eq!(person(&home, "anna")["origin"], origin);
    // By her address she is the same person.
    let mut again = Browser::at(&serving.url);
    assert_eq!(again.log_in("Anna@Example.org", PASSWORD).status, 303);
    assert_eq!(again.me()["name"], "anna");
    // Other roles, from the next login on; what is denied stays.
    home.json(&["people", "role", "anna", "--deny", "records", "--json"]);
    drop(serving);
    let roles = ROLES.replace("tuner", "auditor");
    let serving = up(&home, &searching(&directory, &roles));
    let mut anna = Browser::at(&serving.url);
    assert_eq!(anna.log_in("anna", PASSWORD).status, 303);
    assert_eq!(anna.me()["rights"], json!(["look", "audit"]));
    home.json(&["people", "disable", "anna", "--json"]);
    assert!(anna.me().is_null());
    assert_eq!(refused(&serving, "anna", PASSWORD).0, 403);
}

#[test]
fn wrong_empty_and_injected_is_nobody() {
    let Some(directory) = directory() else { return };
    let (home, _) = home();
    let serving = up(&home, &searching(&directory, ROLES));
    for (name, password) in [
        ("anna", "wrong"),
        ("anna", ""),
        ("nobody", PASSWORD),
        // Each would find anna, or somebody, if it were more than a value.
        ("*", PASSWORD),
        ("a*", PASSWORD),
        ("anna)(uid=*", PASSWORD),
        ("x)(|(uid=*", PASSWORD),
        (r"\61nna", PASSWORD),
        ("anna\0", "x"),
        ("", PASSWORD),
    ] {
        let (status, page) = refused(&serving, name, password);
        assert_eq!(status, 401, "{name}: {page}");
    }
    // The directory has a root, too: it is not the one here, whose password holds alone.
    assert_eq!(refused(&serving, "root", PASSWORD).0, 401);
    let (status, page) = refused(&serving, "root@example.org", PASSWORD);
    assert!(
        status == 403 && page.contains("your name already"),
        "{page}"
    );
    let (status, page) = refused(&serving, "eve", PASSWORD);
    assert!(
        status == 403 && page.contains("none of your groups"),
        "{page}"
    );
    assert!(person(&home, "eve").is_null() && person(&home, "root")["origin"].is_null());
    let said = std::fs::read_to_string(home.path().join("up.log")).expect("a log");
    assert!(
        !said.contains(PASSWORD) && !said.contains("reader-secret"),
        "{said}"
    );
    // Ten for a name, as for any.
    for _ in 0..10 {
        refused(&serving, "carl", "wrong");
    }
    assert_eq!(refused(&serving, "carl", "wrong").0, 429);
}

#[test]
fn an_entry_is_named_by_a_template_and_its_groups_are_looked_for() {
    let Some(directory) = directory() else { return };
    let (home, _) = home();
    let file = format!(
        "ldap:
  - name: branch
    url: ldaps://localhost:{}
    ca: {}
    dn: uid={{name}},ou=people,dc=example,dc=org
    group_search: {{base: 'ou=groups,dc=example,dc=org', filter: '(member={{dn}})'}}
    roles: {{operator: [tuners]}}
",
        directory.ports.1,
        directory.authority().display(),
    );
    let serving = up(&home, &file);
    let mut anna = Browser::at(&serving.url);
    assert_eq!(anna.log_in("anna", PASSWORD).status, 303);
    assert_eq!(anna.me()["roles"], json!(["operator"]));
    for name in ["anna,ou=people", "anna+cn=Anna Berg", "#61", "anna\\"] {
        assert_eq!(refused(&serving, name, PASSWORD).0, 401, "{name}");
    }
    assert_eq!(refused(&serving, "anna", "wrong").0, 401);
    assert_eq!(refused(&serving, "eve", PASSWORD).0, 403);
}

#[test]
fn a_directory_that_is_not_trusted_gets_no_password() {
    let Some(directory) = directory() else { return };
    let (home, _) = home();
    let trusted = searching(&directory, ROLES);
    let ca = format!("    ca: {}\n", directory.authority().display());
    let serving = up(&home, &trusted.replace(&ca, ""));
    let (status, page) = refused(&serving, "anna", PASSWORD);
    assert!(status == 503 && page.contains("does not answer"), "{page}");
    drop(serving);
    // Without TLS this one takes no password, and on this machine it would be asked.
    let plain = trusted
        .replace("    start_tls: true\n", "")
        .replace(&ca, "");
    let serving = up(&home, &plain);
    assert_eq!(refused(&serving, "anna", PASSWORD).0, 503);
    // Whoever has a password here comes in all the same.
    drop((serving, directory));
    home.json(&["people", "add", "ben", "--role", "tuner", "--json"]);
    let made = home.json(&["people", "password", "ben", "--json"]);
    let made = made["password"].as_str().expect("a password").to_owned();
    let serving = up(&home, &trusted.replace(&ca, ""));
    assert_eq!(Browser::at(&serving.url).log_in("ben", &made).status, 303);
    assert_eq!(refused(&serving, "anna", PASSWORD).0, 503);
}
