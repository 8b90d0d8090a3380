//! `sign-in.yaml` in the home: the other ways to sign in, as they are used.
//!
//! It is read once, when a daemon begins that answers people. Not here: how it is written (`written`).

mod written;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use url::Url;

use super::super::{PersonRole, Secret};
use super::Kind;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use written::{FILE_BYTES_MAX, Reader};

/// What the file is called.
pub const FILE: &str = "sign-in.yaml";

/// The ways that the file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// Providers of OpenID Connect.
    pub oidc: Vec<OidcWay>,
    /// Directories.
    pub ldap: Vec<LdapWay>,
}

/// A provider of OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcWay {
    /// Its name, in addresses.
    pub name: String,
    /// What its button says.
    pub title: String,
    /// The provider, to the letter as it calls itself.
    pub issuer: String,
    /// Where it sends browsers back to.
    pub redirect: String,
    /// Who this workshop is there.
    pub client: String,
    /// What proves it; none for a public client.
    pub secret: Option<Secret>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that is the name here.
    pub called: String,
    /// The claim that lists groups.
    pub groups: String,
    /// A file with certificates that are trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// Which groups have which roles.
    pub roles: Mapping,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapWay {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Whether TLS begins after the connection.
    pub start_tls: bool,
    /// A file with certificates that are trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// How an entry is found for a name.
    pub find: Find,
    /// The attribute that is the name here.
    pub called: String,
    /// The attribute that people call them by.
    pub display: String,
    /// The attribute that says for good who it is; the name of the entry unless given.
    pub id: Option<String>,
    /// Whence groups are known.
    pub groups: GroupsFrom,
    /// Which groups have which roles.
    pub roles: Mapping,
}

/// How the entry is found that belongs to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// Its name is made from theirs: `uid={name},ou=people,dc=example,dc=org`.
    Template(String),
    /// It is looked for first.
    Search {
        /// Who looks.
        reader: String,
        /// Their password.
        secret: Secret,
        /// Below which entry.
        base: String,
        /// By which filter: `(uid={name})`.
        filter: String,
    },
}

/// Whence groups are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupsFrom {
    /// An attribute of the entry.
    Attribute(String),
    /// Entries that are looked for.
    Search {
        /// Below which entry.
        base: String,
        /// By which filter: `(member={dn})`.
        filter: String,
        /// The attribute that is the group's name.
        name: String,
    },
}

/// The groups of each role.
type Roles = BTreeMap<PersonRole, Vec<String>>;

/// Which groups have which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// In the workshop.
    workshop: Roles,
    /// In projects, by their ids.
    projects: BTreeMap<String, Roles>,
}

impl Mapping {
    /// The roles in the workshop of somebody in these groups; sorted, none twice.
    pub fn roles(&self, groups: &[String], kind: Kind) -> Vec<PersonRole> {
        held(&self.workshop, groups, kind)
    }

    /// Their roles in projects, by the ids of those in which they have any.
    pub fn parts(&self, groups: &[String], kind: Kind) -> BTreeMap<String, Vec<PersonRole>> {
        let all = self.projects.iter();
        let all = all.map(|(id, roles)| (id.clone(), held(roles, groups, kind)));
        all.filter(|(_, roles)| !roles.is_empty()).collect()
    }
}

/// The roles of somebody in these groups. Names in directories are the same in capitals.
fn held(roles: &Roles, groups: &[String], kind: Kind) -> Vec<PersonRole> {
    let same = |a: &str, b: &str| match kind {
        Kind::Oidc => a == b,
        Kind::Ldap => a.to_lowercase() == b.to_lowercase(),
    };
    let is_in = |named: &String| groups.iter().any(|group| same(group, named));
    let held = roles.iter().filter(|(_, named)| named.iter().any(is_in));
    held.map(|(role, _)| *role).collect()
}

impl SignIn {
    /// The kinds of ways that it asks for.
    pub fn kinds(&self) -> Vec<Kind> {
        let asked = [
            (Kind::Oidc, !self.oidc.is_empty()),
            (Kind::Ldap, !self.ldap.is_empty()),
        ];
        let asked = asked.into_iter().filter(|(_, is_asked)| *is_asked);
        asked.map(|(kind, _)| kind).collect()
    }

    /// Reads the home's file; no ways where there is none.
    ///
    /// # Errors
    /// `sign-in-file` with the line, `sign-in-secret` for a secret that is not where the file says.
    pub fn read(home: &Home) -> Result<SignIn, WorkshopError> {
        let path = home.root().join(FILE);
        let mut text = String::new();
        match fs::File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(SignIn::default());
            }
            Err(error) => return Err(io_error("read", &path, &error)),
            Ok(file) => file
                .take(FILE_BYTES_MAX + 1)
                .read_to_string(&mut text)
                .map_err(|error| io_error("read", &path, &error))?,
        };
        let reader = Reader {
            path: &path,
            folder: home.root(),
            reads_secrets: true,
        };
        reader.parse(&text)
    }

    /// Whether this binary has all of it.
    ///
    /// # Errors
    /// `sign-in-feature`, which says how to build one that has.
    pub fn is_built(&self) -> Result<(), WorkshopError> {
        self.is_built_with(&Kind::ALL.map(|kind| (kind, kind.is_built())))
    }

    fn is_built_with(&self, built: &[(Kind, bool)]) -> Result<(), WorkshopError> {
        let wanted = |kind: Kind| match kind {
            Kind::Oidc => !self.oidc.is_empty(),
            Kind::Ldap => !self.ldap.is_empty(),
        };
        let missing = built.iter().find(|(kind, has)| wanted(*kind) && !has);
        let Some((kind, _)) = missing else {
            return Ok(());
        };
        let name = kind.name();
        Err(WorkshopError::new(
            "sign-in-feature",
            format!(
                "{FILE} asks for `{name}`, and this program was built without the feature `{name}`"
            ),
            format!(
                "build it with `cargo build --release --features {name}`, or take `{name}` out of the file"
            ),
        ))
    }
}

/// Reads outside bytes as the file; for fuzzing. No secret is looked for.
pub fn fuzz(bytes: &[u8]) {
    let reader = Reader {
        path: Path::new(FILE),
        folder: Path::new("/nowhere"),
        reads_secrets: false,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = reader.parse(text);
    }
}

/// Whether an address of the web may be asked: over TLS, or on this machine.
pub(super) fn is_web(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether an address is this machine's.
pub(super) fn is_loopback(url: &Url) -> bool {
    // Of schemes that are not the web's, hosts are kept as they were written.
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(name: &str) -> LdapWay {
        LdapWay {
            name: name.to_owned(),
            url: "ldaps://ldap.example.org".parse().unwrap(),
            start_tls: false,
            ca: None,
            find: Find::Template("uid={name}".to_owned()),
            called: "uid".to_owned(),
            display: "cn".to_owned(),
            id: None,
            groups: GroupsFrom::Attribute("memberOf".to_owned()),
            roles: Mapping::default(),
        }
    }

    #[test]
    fn what_the_program_lacks_is_named_with_how_to_build_it() {
        let file = SignIn {
            ldap: vec![way("directory")],
            ..SignIn::default()
        };
        let (lean, full) = ([(Kind::Ldap, false)], [(Kind::Ldap, true)]);
        let error = file.is_built_with(&lean).unwrap_err();
        assert_eq!(error.code(), "sign-in-feature");
        assert!(error.to_string().contains("`ldap`"), "{error}");
        assert!(error.next().contains("--features ldap"), "{}", error.next());
        assert!(file.is_built_with(&full).is_ok());
        assert!(SignIn::default().is_built_with(&lean).is_ok());
        assert!(file.is_built_with(&[(Kind::Oidc, false)]).is_ok());
    }

    #[test]
    fn a_home_without_the_file_has_no_other_ways() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_path_buf())).unwrap();
        assert_eq!(SignIn::read(&home).unwrap(), SignIn::default());
        fs::write(folder.path().join(FILE), "oidc: 7\n").unwrap();
        assert_eq!(SignIn::read(&home).unwrap_err().code(), "sign-in-file");
    }
}
