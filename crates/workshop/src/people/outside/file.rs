//! `sign-in.yaml` in the home: the other ways to sign in, as somebody wrote them and as they are used.
//!
//! It is read once, when a daemon begins that answers people. Secrets stand in files or in variables of the
//! environment, never here; the file names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;
use url::Url;

use super::super::{PersonRole, Secret};
use super::Kind;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};

/// What the file is called.
pub const FILE: &str = "sign-in.yaml";

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The longest secret.
const SECRET_BYTES_MAX: u64 = 4096;
/// The most ways of one workshop.
const WAYS_MAX: usize = 16;
/// The longest name of a way, and the longest text of a button.
const WORD_CHARS_MAX: usize = 60;

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

/// Which groups have which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping(BTreeMap<PersonRole, Vec<String>>);

impl Mapping {
    /// The roles of somebody in these groups; sorted, none twice. Names in directories are the same in capitals.
    pub fn roles(&self, groups: &[String], kind: Kind) -> Vec<PersonRole> {
        let same = |a: &str, b: &str| match kind {
            Kind::Oidc => a == b,
            Kind::Ldap => a.to_lowercase() == b.to_lowercase(),
        };
        let is_in = |named: &String| groups.iter().any(|group| same(group, named));
        let held = self.0.iter().filter(|(_, named)| named.iter().any(is_in));
        held.map(|(role, _)| *role).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: Option<Spanned<String>>,
    #[serde(default)]
    oidc: Vec<WrittenOidc>,
    #[serde(default)]
    ldap: Vec<WrittenLdap>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOidc {
    name: Spanned<String>,
    title: Option<Spanned<String>>,
    issuer: Spanned<String>,
    client: Spanned<String>,
    secret: Option<Spanned<SecretFrom>>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default = "preferred_username")]
    called: String,
    #[serde(default = "groups")]
    groups: String,
    ca: Option<PathBuf>,
    roles: Spanned<BTreeMap<PersonRole, Vec<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLdap {
    name: Spanned<String>,
    url: Spanned<String>,
    #[serde(default)]
    start_tls: bool,
    ca: Option<PathBuf>,
    dn: Option<Spanned<String>>,
    search: Option<WrittenSearch>,
    #[serde(default = "uid")]
    called: String,
    #[serde(default = "cn")]
    display: String,
    id: Option<String>,
    groups: Option<String>,
    group_search: Option<WrittenGroups>,
    roles: Spanned<BTreeMap<PersonRole, Vec<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSearch {
    reader: Spanned<String>,
    secret: Spanned<SecretFrom>,
    base: String,
    filter: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGroups {
    base: String,
    filter: Spanned<String>,
    #[serde(default = "cn")]
    name: String,
}

/// Where a secret stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecretFrom {
    File(PathBuf),
    Env(String),
}

fn preferred_username() -> String {
    "preferred_username".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn uid() -> String {
    "uid".to_owned()
}

fn cn() -> String {
    "cn".to_owned()
}

impl SignIn {
    /// Reads the home's file; no ways where there is none.
    ///
    /// # Errors
    /// `sign-in-file` with the line, `sign-in-secret` for a secret that is not where the file says;
    /// `sign-in-feature` for a way that this binary was built without.
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

/// Reads a text as the file; for fuzzing and tests of other places.
pub fn fuzz(text: &str) {
    let reader = Reader {
        path: Path::new(FILE),
        folder: Path::new("/nowhere"),
    };
    let _ = reader.parse(text);
}

/// What the text comes from.
struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
}

impl Reader<'_> {
    fn refuse(&self, line: Option<u64>, what: &str, next: &str) -> WorkshopError {
        let place = match line {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => self.path.display().to_string(),
        };
        WorkshopError::new("sign-in-file", format!("{place}: {what}"), next)
    }

    fn at<T>(&self, at: &Spanned<T>, what: &str, next: &str) -> WorkshopError {
        self.refuse(Some(at.referenced.line()), what, next)
    }

    fn parse(&self, text: &str) -> Result<SignIn, WorkshopError> {
        if text.len() as u64 > FILE_BYTES_MAX {
            let what = format!("it has more than {FILE_BYTES_MAX} bytes");
            return Err(self.refuse(None, &what, "keep it short"));
        }
        let written: Written = serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().map(|at| at.line());
            let next = "correct it; docs/guide/people.md lists the keys";
            self.refuse(line, &error.to_string(), next)
        })?;
        self.check_names(&written)?;
        let address = match &written.address {
            Some(address) => Some(self.address(address)?),
            None => None,
        };
        let oidc = written.oidc.into_iter();
        let ldap = written.ldap.into_iter();
        Ok(SignIn {
            oidc: oidc
                .map(|it| self.oidc(it, address.as_deref()))
                .collect::<Result<_, _>>()?,
            ldap: ldap.map(|it| self.ldap(it)).collect::<Result<_, _>>()?,
        })
    }

    fn check_names(&self, written: &Written) -> Result<(), WorkshopError> {
        let names = written.oidc.iter().map(|it| &it.name);
        let names = names.chain(written.ldap.iter().map(|it| &it.name));
        let mut seen = BTreeSet::new();
        for name in names {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let is_plain = name.value.bytes().all(plain) && !name.value.is_empty();
            if !is_plain || name.value.len() > WORD_CHARS_MAX {
                let next = "use small letters, digits and `-`: it stands in addresses";
                return Err(self.at(name, "this name cannot stand in an address", next));
            }
            if !seen.insert(name.value.as_str()) {
                return Err(self.at(name, "another way has this name", "choose another"));
            }
            if seen.len() > WAYS_MAX {
                let what = format!("more than {WAYS_MAX} ways to sign in");
                return Err(self.at(name, &what, "leave the others out"));
            }
        }
        Ok(())
    }

    /// Where browsers find this workshop, without a slash at its end.
    fn address(&self, address: &Spanned<String>) -> Result<String, WorkshopError> {
        let url = self.web(address)?;
        if url.path() != "/" || url.query().is_some() {
            let next = "write it as https://lathe.example.org";
            return Err(self.at(address, "this is more than a host and a port", next));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    /// An address of the web: over TLS, or on this machine.
    fn web(&self, written: &Spanned<String>) -> Result<Url, WorkshopError> {
        let url = Url::parse(&written.value).ok();
        let is_safe =
            |url: &Url| is_web(url) && url.username().is_empty() && url.fragment().is_none();
        url.filter(is_safe).ok_or_else(|| {
            let next = "write https://…; http:// is for this machine alone (127.0.0.1, localhost)";
            self.at(written, "this address cannot be used", next)
        })
    }

    fn oidc(&self, written: WrittenOidc, address: Option<&str>) -> Result<OidcWay, WorkshopError> {
        let name = written.name.value.clone();
        let Some(address) = address else {
            let next = "write `address: https://…`, as people's browsers know this workshop";
            let what = "a provider sends browsers back, and `address` does not say where to";
            return Err(self.at(&written.name, what, next));
        };
        self.web(&written.issuer)?;
        if written.client.value.is_empty() {
            let next = "write the client's id, as the provider has it";
            return Err(self.at(&written.client, "the client has no id", next));
        }
        Ok(OidcWay {
            title: match &written.title {
                Some(title) => self.title(title)?,
                None => name.clone(),
            },
            redirect: format!("{address}/login/oidc/{name}/back"),
            name,
            issuer: written.issuer.value,
            client: written.client.value,
            secret: match &written.secret {
                Some(secret) => Some(self.secret(secret)?),
                None => None,
            },
            scopes: written.scopes,
            called: written.called,
            groups: written.groups,
            ca: written.ca.map(|it| self.folder.join(it)),
            roles: self.mapping(written.roles)?,
        })
    }

    fn ldap(&self, written: WrittenLdap) -> Result<LdapWay, WorkshopError> {
        Ok(LdapWay {
            url: self.directory(&written.url, written.start_tls)?,
            find: self.find(&written)?,
            groups: self.groups(&written)?,
            name: written.name.value,
            start_tls: written.start_tls,
            ca: written.ca.map(|it| self.folder.join(it)),
            called: written.called,
            display: written.display,
            id: written.id,
            roles: self.mapping(written.roles)?,
        })
    }

    /// Passwords go over TLS alone, or stay on this machine.
    fn directory(&self, written: &Spanned<String>, start_tls: bool) -> Result<Url, WorkshopError> {
        let url = Url::parse(&written.value).ok();
        let url = url.filter(|it| it.host_str().is_some_and(|host| !host.is_empty()));
        let is_safe = |url: &Url| match url.scheme() {
            "ldaps" => !start_tls,
            "ldap" => start_tls || is_loopback(url),
            _ => false,
        };
        url.filter(is_safe).ok_or_else(|| {
            let next = "write ldaps://HOST, or ldap://HOST with `start_tls: true`; plain ldap:// is for this \
                        machine alone";
            self.at(written, "this directory cannot be asked safely", next)
        })
    }

    fn find(&self, written: &WrittenLdap) -> Result<Find, WorkshopError> {
        let both = "write either `dn`, or `search` with `reader`, `secret`, `base` and `filter`";
        match (&written.dn, &written.search) {
            (Some(dn), None) => {
                self.has_place(dn, "{name}")?;
                Ok(Find::Template(dn.value.clone()))
            }
            (None, Some(search)) => {
                self.has_place(&search.filter, "{name}")?;
                if search.reader.value.is_empty() {
                    let next = "write the name of an entry that may read the directory";
                    return Err(self.at(&search.reader, "nobody looks", next));
                }
                Ok(Find::Search {
                    reader: search.reader.value.clone(),
                    secret: self.secret(&search.secret)?,
                    base: search.base.clone(),
                    filter: search.filter.value.clone(),
                })
            }
            _ => Err(self.at(&written.name, "nothing says how people are found", both)),
        }
    }

    fn groups(&self, written: &WrittenLdap) -> Result<GroupsFrom, WorkshopError> {
        match (&written.groups, &written.group_search) {
            (Some(_), Some(search)) => {
                let next = "write either `groups` or `group_search`";
                Err(self.at(&search.filter, "groups are known in two ways", next))
            }
            (None, Some(search)) => {
                let is_placed = ["{dn}", "{name}"]
                    .iter()
                    .any(|it| search.filter.value.contains(it));
                if !is_placed {
                    self.has_place(&search.filter, "{dn}")?;
                }
                Ok(GroupsFrom::Search {
                    base: search.base.clone(),
                    filter: search.filter.value.clone(),
                    name: search.name.clone(),
                })
            }
            (groups, None) => {
                let attribute = groups.clone().unwrap_or_else(|| "memberOf".to_owned());
                Ok(GroupsFrom::Attribute(attribute))
            }
        }
    }

    fn has_place(&self, text: &Spanned<String>, place: &str) -> Result<(), WorkshopError> {
        if text.value.contains(place) {
            return Ok(());
        }
        let what = format!("it is the same for everybody: `{place}` is missing");
        Err(self.at(text, &what, &format!("write `{place}` where it belongs")))
    }

    fn title(&self, title: &Spanned<String>) -> Result<String, WorkshopError> {
        let text = title.value.trim();
        let chars = text.chars().count();
        if (1..=WORD_CHARS_MAX).contains(&chars) && !text.chars().any(char::is_control) {
            return Ok(text.to_owned());
        }
        Err(self.at(title, "a button cannot say this", "use 1 to 60 characters"))
    }

    fn mapping(
        &self,
        roles: Spanned<BTreeMap<PersonRole, Vec<String>>>,
    ) -> Result<Mapping, WorkshopError> {
        let is_empty = roles.value.values().all(Vec::is_empty);
        if is_empty {
            let next = "write a role and its groups: `tuner: [GROUP]`; who has no role stays out";
            return Err(self.at(&roles, "no group has a role: nobody could come in", next));
        }
        Ok(Mapping(roles.value))
    }

    fn secret(&self, from: &Spanned<SecretFrom>) -> Result<Secret, WorkshopError> {
        let unread = |why: String| {
            let place = format!("{}:{}", self.path.display(), from.referenced.line());
            let next = "put the secret there, readable by this process, and nothing beside it";
            WorkshopError::new("sign-in-secret", format!("{place}: {why}"), next)
        };
        let text = match &from.value {
            SecretFrom::Env(name) => std::env::var(name)
                .map_err(|_| unread(format!("the variable {name} is not set")))?,
            SecretFrom::File(file) => {
                let file = self.folder.join(file);
                let mut text = String::new();
                fs::File::open(&file)
                    .and_then(|it| it.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                    .map_err(|error| unread(format!("cannot read {}: {error}", file.display())))?;
                text
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.len() as u64 > SECRET_BYTES_MAX {
            return Err(unread("the secret there is empty or too long".to_owned()));
        }
        Ok(Secret(text.to_owned()))
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

    const PLANT: &str = "\
address: https://lathe.example.org
oidc:
  - name: plant
    title: 工厂账号
    issuer: https://id.example.org/realms/plant
    client: lathe
    scopes: [profile]
    groups: realm_access.roles
    roles:
      tuner: [tuners, all]
      administrator: [admins]
ldap:
  - name: directory
    url: ldaps://ldap.example.org
    dn: uid={name},ou=people,dc=example,dc=org
    roles:
      auditor: ['cn=Audit,ou=groups,dc=example,dc=org']
";

    fn read(text: &str) -> Result<SignIn, WorkshopError> {
        let reader = Reader {
            path: Path::new("sign-in.yaml"),
            folder: Path::new("/nowhere"),
        };
        reader.parse(text)
    }

    fn refused(text: &str) -> String {
        let error = read(text).unwrap_err();
        format!("{} {error} {}", error.code(), error.next())
    }

    #[test]
    fn what_is_written_is_what_is_used() {
        let file = read(PLANT).unwrap();
        let plant = &file.oidc[0];
        assert_eq!(
            plant.redirect,
            "https://lathe.example.org/login/oidc/plant/back"
        );
        assert_eq!(plant.issuer, "https://id.example.org/realms/plant");
        assert_eq!(plant.called, "preferred_username");
        let groups = ["all".to_owned(), "admins".to_owned(), "Tuners".to_owned()];
        let roles = plant.roles.roles(&groups, Kind::Oidc);
        assert_eq!(roles, [PersonRole::Tuner, PersonRole::Administrator]);
        assert!(plant.roles.roles(&groups[2..], Kind::Oidc).is_empty());
        let directory = &file.ldap[0];
        assert_eq!(
            directory.groups,
            GroupsFrom::Attribute("memberOf".to_owned())
        );
        let groups = ["CN=audit,OU=groups,DC=example,DC=org".to_owned()];
        assert_eq!(
            directory.roles.roles(&groups, Kind::Ldap),
            [PersonRole::Auditor]
        );
        assert_eq!(read("").unwrap(), SignIn::default());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (from, to, line, told) in [
            ("client: lathe", "clent: lathe", 6, "clent"),
            ("client: lathe", "client: ''", 6, "no id"),
            ("name: plant", "name: ../plant", 3, "address"),
            ("name: directory", "name: plant", 13, "another way"),
            ("https://id.", "http://id.", 5, "http://"),
            (
                "https://lathe.example.org",
                "https://lathe.example.org/x",
                1,
                "host and a port",
            ),
            ("address: https://lathe.example.org", "", 3, "address"),
            ("ldaps://", "ldap://", 14, "ldaps://HOST"),
            ("{name}", "anna", 15, "{name}"),
            ("    dn:", "    id:", 13, "`search`"),
            ("tuner:", "tunner:", 10, "tunner"),
            ("title: 工厂账号", "title: ''", 4, "button"),
        ] {
            let told_of = refused(&PLANT.replacen(from, to, 1));
            let place = format!("sign-in-file sign-in.yaml:{line}:");
            assert!(told_of.starts_with(&place), "{to}: {told_of}");
            assert!(told_of.contains(told), "{to}: {told_of}");
        }
        let empty = PLANT
            .replace("[tuners, all]", "[]")
            .replace("[admins]", "[]");
        assert!(refused(&empty).contains("nobody could come in"));
        let long = format!("{PLANT}#{}", "x".repeat(64 << 10));
        assert!(refused(&long).contains("bytes"));
    }

    #[test]
    fn passwords_go_over_tls_or_stay_here() {
        for (url, is_safe) in [
            ("ldaps://ldap.example.org", true),
            ("ldaps://ldap.example.org\n    start_tls: true", false),
            ("ldap://ldap.example.org\n    start_tls: true", true),
            ("ldap://ldap.example.org", false),
            ("ldap://127.0.0.1:3389", true),
            ("ldap://[::1]", true),
            ("ldap://localhost", true),
            ("ldap://localhost.example.org", false),
            ("ldap://127.0.0.1.example.org", false),
            ("ldapi://%2frun%2fldapi", false),
            ("https://ldap.example.org", false),
            ("ldap://", false),
        ] {
            let text = PLANT.replace("ldaps://ldap.example.org", url);
            assert_eq!(read(&text).is_ok(), is_safe, "{url}");
        }
    }

    #[test]
    fn secrets_stand_elsewhere_and_are_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "hidden-words\n").unwrap();
        let from = |from: &str| {
            PLANT.replace(
                "client: lathe",
                &format!("client: lathe\n    secret: {from}"),
            )
        };
        let read_it = read(&from(&format!("{{file: {}}}", file.display()))).unwrap();
        assert_eq!(
            read_it.oidc[0].secret,
            Some(Secret("hidden-words".to_owned()))
        );
        assert!(!format!("{read_it:?}").contains("hidden"));
        fs::write(&file, "\n").unwrap();
        for from_where in [
            format!("{{file: {}}}", file.display()),
            "{file: /nowhere/at/all}".to_owned(),
            "{env: LATHE_TEST_NO_SUCH_SECRET}".to_owned(),
        ] {
            let told = refused(&from(&from_where));
            assert!(told.starts_with("sign-in-secret sign-in.yaml:7:"), "{told}");
        }
        // In clear it is not taken.
        assert!(refused(&from("hidden-words")).starts_with("sign-in-file"));
    }

    #[test]
    fn what_the_program_lacks_is_named_with_how_to_build_it() {
        let file = read(PLANT).unwrap();
        let lean = file.is_built_with(&[(Kind::Oidc, false), (Kind::Ldap, true)]);
        let error = lean.unwrap_err();
        assert_eq!(error.code(), "sign-in-feature");
        assert!(error.to_string().contains("`oidc`"), "{error}");
        assert!(error.next().contains("--features oidc"), "{}", error.next());
        let none = SignIn::default();
        assert!(
            none.is_built_with(&[(Kind::Oidc, false), (Kind::Ldap, false)])
                .is_ok()
        );
        assert!(
            file.is_built_with(&[(Kind::Oidc, true), (Kind::Ldap, true)])
                .is_ok()
        );
    }

    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused() {
        // Every prefix, and every byte another: the parser neither panics nor hangs.
        for end in 0..PLANT.len() {
            if let Some(start) = PLANT.get(..end) {
                fuzz(start);
            }
        }
        for at in (0..PLANT.len()).step_by(3) {
            let mut bytes = PLANT.as_bytes().to_vec();
            for byte in [b'{', b'\n', b'*', 0] {
                bytes[at] = byte;
                if let Ok(text) = std::str::from_utf8(&bytes) {
                    fuzz(text);
                }
            }
        }
    }
}
