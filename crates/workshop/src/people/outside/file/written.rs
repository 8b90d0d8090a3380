//! `sign-in.yaml` as somebody wrote it, with the line of each mistake.
//!
//! Secrets stand in files or in variables of the environment, never in it: it names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use url::Url;

use super::{
    Find, GroupsFrom, LdapWay, Mapping, OidcWay, Roles, Secret, SignIn, is_loopback, is_web,
};
use crate::error::WorkshopError;
use crate::people::project::is_id;

/// The longest file that is read.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 10;
/// The longest secret.
const SECRET_BYTES_MAX: u64 = 4096;
/// The most ways of one workshop.
const WAYS_MAX: usize = 16;
/// The longest name of a way, and the longest text of a button.
const WORD_CHARS_MAX: usize = 60;

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
    roles: Option<Spanned<Roles>>,
    #[serde(default)]
    projects: BTreeMap<String, Spanned<Roles>>,
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
    roles: Option<Spanned<Roles>>,
    #[serde(default)]
    projects: BTreeMap<String, Spanned<Roles>>,
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

/// Where a secret stands: `{file: PATH}` or `{env: NAME}`. Read as whatever it is, so that no message of the parser
/// shows one that somebody wrote here in clear.
type SecretFrom = Value;

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

/// What the text comes from.
pub(super) struct Reader<'a> {
    /// The file, as errors name it.
    pub path: &'a Path,
    /// What other files are named from.
    pub folder: &'a Path,
    /// Else each secret is taken to be there.
    pub reads_secrets: bool,
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

    pub(super) fn parse(&self, text: &str) -> Result<SignIn, WorkshopError> {
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
            roles: self.mapping(&written.name, (written.roles, written.projects))?,
        })
    }

    fn ldap(&self, written: WrittenLdap) -> Result<LdapWay, WorkshopError> {
        Ok(LdapWay {
            url: self.directory(&written.url, written.start_tls)?,
            find: self.find(&written)?,
            groups: self.groups(&written)?,
            roles: self.mapping(&written.name, (written.roles, written.projects))?,
            name: written.name.value,
            start_tls: written.start_tls,
            ca: written.ca.map(|it| self.folder.join(it)),
            called: written.called,
            display: written.display,
            id: written.id,
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

    /// Which groups have which roles, in the workshop and in projects, of the way of this name.
    fn mapping(
        &self,
        name: &Spanned<String>,
        (roles, projects): (Option<Spanned<Roles>>, BTreeMap<String, Spanned<Roles>>),
    ) -> Result<Mapping, WorkshopError> {
        if let Some((id, roles)) = projects.iter().find(|(id, _)| !is_id(id)) {
            let shown: String = id.chars().take(100).collect();
            let what = format!("no project can have the id {shown:?}");
            return Err(self.at(roles, &what, "write one that `lathe project list` shows"));
        }
        let is_held = |roles: &Roles| roles.values().any(|groups| !groups.is_empty());
        let mut all = roles.iter().chain(projects.values());
        if !all.any(|it| is_held(&it.value)) {
            let next = "write a role and its groups: `tuner: [GROUP]`; who has no role stays out";
            let what = "no group has a role: nobody could come in";
            return Err(match &roles {
                Some(roles) => self.at(roles, what, next),
                None => self.at(name, what, next),
            });
        }
        let projects = projects.into_iter().map(|(id, roles)| (id, roles.value));
        Ok(Mapping {
            workshop: roles.map(|it| it.value).unwrap_or_default(),
            projects: projects.collect(),
        })
    }

    fn secret(&self, from: &Spanned<SecretFrom>) -> Result<Secret, WorkshopError> {
        if !self.reads_secrets {
            return Ok(Secret("not looked for".to_owned()));
        }
        let unread = |why: String| {
            let place = format!("{}:{}", self.path.display(), from.referenced.line());
            let next = "put the secret there, readable by this process, and nothing beside it";
            WorkshopError::new("sign-in-secret", format!("{place}: {why}"), next)
        };
        let of = |key: &str| from.value.get(key).and_then(Value::as_str);
        let members = from.value.as_object().map_or(0, Map::len);
        let text = match (members, of("env"), of("file")) {
            (1, Some(name), None) => std::env::var(name)
                .map_err(|_| unread(format!("the variable {name} is not set")))?,
            (1, None, Some(file)) => {
                let file = self.folder.join(file);
                let mut text = String::new();
                fs::File::open(&file)
                    .and_then(|it| it.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
                    .map_err(|error| unread(format!("cannot read {}: {error}", file.display())))?;
                text
            }
            _ => {
                let next = "write `secret: {file: PATH}` or `secret: {env: NAME}`";
                return Err(self.at(
                    from,
                    "a secret stands in a file or a variable, not here",
                    next,
                ));
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.len() as u64 > SECRET_BYTES_MAX {
            return Err(unread("the secret there is empty or too long".to_owned()));
        }
        Ok(Secret(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Kind;
    use super::super::PersonRole;
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
    projects:
      ward: {tuner: ['cn=Ward,dc=example,dc=org'], approver: [heads]}
      bank: {tuner: []}
";

    fn read(text: &str) -> Result<SignIn, WorkshopError> {
        let reader = Reader {
            path: Path::new("sign-in.yaml"),
            folder: Path::new("/nowhere"),
            reads_secrets: true,
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
        assert!(directory.roles.parts(&groups, Kind::Ldap).is_empty());
        let groups = ["CN=ward,DC=example,DC=org".to_owned(), "Heads".to_owned()];
        let parts = directory.roles.parts(&groups, Kind::Ldap);
        let both = vec![PersonRole::Tuner, PersonRole::Approver];
        assert_eq!(parts, BTreeMap::from([("ward".to_owned(), both)]));
        // Roles in projects alone are enough to come in by.
        let alone = PLANT.replace(
            "    roles:\n      auditor: ['cn=Audit,ou=groups,dc=example,dc=org']\n",
            "",
        );
        let alone = read(&alone).unwrap();
        assert!(alone.ldap[0].roles.roles(&groups, Kind::Ldap).is_empty());
        assert_eq!(read("").unwrap(), SignIn::default());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (from, to, line, told) in [
            ("client: lathe", "clent: lathe", 6, "clent"),
            ("bank: {tuner: []}", "Bank: {tuner: [x]}", 20, "no project"),
            ("bank: {tuner: []}", "bank: {tunr: [x]}", 20, "tunr"),
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
        for clear in ["hidden-words", "[hidden-words]", "{value: hidden-words}"] {
            let told = refused(&from(clear));
            assert!(told.starts_with("sign-in-file sign-in.yaml:7:"), "{told}");
            assert!(!told.contains("hidden"), "{told}");
        }
    }

    #[test]
    fn the_examples_of_the_guide_are_read() {
        let guide = include_str!("../../../../../../docs/guide/people.md");
        let reader = Reader {
            path: Path::new("docs/guide/people.md"),
            folder: Path::new("/nowhere"),
            // Theirs stand in files that nobody has.
            reads_secrets: false,
        };
        let examples = guide.split("```yaml\n").skip(1);
        let examples: Vec<SignIn> = examples
            .map(|it| reader.parse(it.split("```").next().unwrap()).unwrap())
            .collect();
        assert_eq!(examples.len(), 3);
        assert_eq!(examples[0].oidc[0].title, "the plant's account");
        assert!(matches!(examples[1].ldap[0].find, Find::Search { .. }));
        assert!(matches!(
            examples[2].ldap[0].groups,
            GroupsFrom::Search { .. }
        ));
    }

    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused() {
        // Every prefix, and every third byte another: the parser neither panics nor hangs.
        let whole = PLANT.as_bytes();
        for end in 0..whole.len() {
            super::super::fuzz(&whole[..end]);
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.to_vec();
            for byte in [b'{', b'\n', b'*', 0] {
                changed[at] = byte;
                super::super::fuzz(&changed);
            }
        }
    }
}
