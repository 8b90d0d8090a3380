//! Directories: somebody is who binds as their entry with their password (RFC 4513, simple bind), over TLS or on
//! this machine alone.
//!
//! An empty password is refused before anything is asked: a directory answers it with success, without having
//! told anybody apart (RFC 4513, 5.1.2). Names go into filters escaped by RFC 4515 and into names of entries by
//! RFC 4514. The protocol is the `ldap3` crate's, which follows no referrals here; it takes an answer that is no
//! LDAP for a reason to panic, which ends the question and nothing else.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lathe_evidence::digest::to_hex;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, dn_escape,
    ldap_escape, parse_filter,
};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;

use super::super::{People, Person, Secret, Shut};
use super::admit::Outsider;
use super::file::{Find, GroupsFrom, LdapWay, SignIn};
use super::{GROUP_BYTES_MAX, GROUPS_MAX, Kind, Origin, Unmet};
use crate::error::WorkshopError;
use crate::people::reach;

/// How long a directory may take for everything about one person.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long it may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// People whom one directory is asked about at the same time.
const ASKING_MAX: usize = 8;

/// What a directory says where it refuses a name or a password (RFC 4511, appendix A).
const REFUSALS: [u32; 7] = [
    19, // constraintViolation: locked after too many attempts
    32, // noSuchObject
    34, // invalidDNSyntax
    48, // inappropriateAuthentication
    49, // invalidCredentials
    50, // insufficientAccessRights
    53, // unwillingToPerform: the password has ended
];

/// A directory that is asked.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    way: Arc<LdapWay>,
    tls: Arc<ClientConfig>,
    asking: Arc<Semaphore>,
}

/// The directories of the file.
pub(super) fn directories(file: &SignIn) -> Result<Vec<Directory>, WorkshopError> {
    file.ldap.iter().map(Directory::new).collect()
}

impl Directory {
    fn new(way: &LdapWay) -> Result<Directory, WorkshopError> {
        let mut filters = Vec::new();
        if let Find::Search { filter, .. } = &way.find {
            filters.push(filter);
        }
        if let GroupsFrom::Search { filter, .. } = &way.groups {
            filters.push(filter);
        }
        for filter in filters {
            if parse_filter(filled(filter, "a", "a")).is_err() {
                let what = format!("`{filter}` is no filter");
                return Err(refused(
                    way,
                    &what,
                    "write it as RFC 4515 has it: (uid={name})",
                ));
            }
        }
        Ok(Directory {
            tls: tls(way, way.ca.as_deref())?,
            way: Arc::new(way.clone()),
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
        })
    }

    /// Who it is that gives this name and password.
    async fn ask(&self, name: &str, password: &Secret) -> Result<Outsider, Shut> {
        if password.0.is_empty() {
            return Err(Shut::Wrong);
        }
        let (directory, name, password) = (self.clone(), name.to_owned(), password.clone());
        // A task of its own: what the library panics at ends there.
        let asked = reach::spawn(async move {
            let told = async {
                let place = directory.asking.acquire().await;
                let _place = place.map_err(|_| Unmet::Unanswered)?;
                directory.tell(&name, &password).await
            };
            let told = tokio::time::timeout(ANSWER_MAX, told).await;
            told.unwrap_or_else(|_| Err(directory.silent(&"it takes too long")))
        });
        let told = asked.await;
        told.unwrap_or_else(|_| Err(self.untrue(&"what it answers is no LDAP")))
    }

    async fn tell(&self, name: &str, password: &Secret) -> Result<Outsider, Shut> {
        match &self.way.find {
            Find::Template(template) => {
                let dn = template.replace("{name}", &dn_escape(name));
                let mut own = self.connect().await?;
                self.bind(&mut own, &dn, password).await?;
                let found = self.entry(&mut own, &dn, Scope::Base, "(objectClass=*)");
                let entry = found.await?.ok_or(Shut::Wrong)?;
                self.outsider(&mut own, &entry, name).await
            }
            Find::Search {
                reader,
                secret,
                base,
                filter,
            } => {
                let mut looking = self.connect().await?;
                let bound = self.bind(&mut looking, reader, secret).await;
                bound.map_err(|_| self.silent(&"it refuses the entry that looks"))?;
                let filter = filled(filter, name, "");
                let found = self.entry(&mut looking, base, Scope::Subtree, &filter);
                let entry = found.await?.ok_or(Shut::Wrong)?;
                let mut own = self.connect().await?;
                self.bind(&mut own, &entry.dn, password).await?;
                self.outsider(&mut looking, &entry, name).await
            }
        }
    }

    async fn connect(&self) -> Result<Ldap, Shut> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECT_MAX)
            .set_config(Arc::clone(&self.tls))
            .set_starttls(self.way.start_tls);
        let opened = LdapConnAsync::from_url_with_settings(settings, &self.way.url).await;
        let (connection, ldap) = opened.map_err(|why| self.silent(&why))?;
        reach::spawn(async move {
            if let Err(why) = connection.drive().await {
                tracing::debug!("the connection to a directory ended: {why}");
            }
        });
        Ok(ldap)
    }

    async fn bind(&self, ldap: &mut Ldap, dn: &str, password: &Secret) -> Result<(), Shut> {
        // Without a name or a password a bind succeeds and says nothing.
        if dn.is_empty() || password.0.is_empty() {
            return Err(Shut::Wrong);
        }
        let bound = ldap.simple_bind(dn, &password.0).await;
        match bound.map_err(|why| self.silent(&why))? {
            done if done.rc == 0 => Ok(()),
            refused if REFUSALS.contains(&refused.rc) => Err(Shut::Wrong),
            other => Err(self.silent(&other)),
        }
    }

    /// The one entry that is found; none where there is none, refused where there are more.
    async fn entry(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Option<SearchEntry>, Shut> {
        let way = &self.way;
        let mut wanted = vec![way.called.clone(), way.display.clone()];
        wanted.extend(way.id.clone());
        if let GroupsFrom::Attribute(name) = &way.groups {
            wanted.push(name.clone());
        }
        let mut found = self.search(ldap, base, scope, filter, wanted, 2).await?;
        let entry = found.pop();
        if !found.is_empty() {
            return Err(self.untrue(&"a name belongs to more than one entry"));
        }
        Ok(entry)
    }

    /// At most `max` entries; what is more is refused by whoever asks, who sees that there are so many.
    async fn search(
        &self,
        ldap: &mut Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: Vec<String>,
        max: usize,
    ) -> Result<Vec<SearchEntry>, Shut> {
        let limit = i32::try_from(max).unwrap_or(i32::MAX);
        ldap.with_search_options(SearchOptions::new().sizelimit(limit));
        let begun = ldap.streaming_search(base, scope, filter, attributes).await;
        let mut stream = begun.map_err(|why| self.silent(&why))?;
        let mut found = Vec::new();
        while found.len() < max
            && let Some(entry) = stream.next().await.map_err(|why| self.silent(&why))?
        {
            if !entry.is_ref() && !entry.is_intermediate() {
                found.push(SearchEntry::construct(entry));
            }
        }
        if found.len() < max {
            let ended = stream.finish().await;
            // 32: where one looks there is nothing. 4: there are more, of which enough came.
            if ![0, 4, 32].contains(&ended.rc) {
                return Err(self.silent(&ended));
            }
        }
        Ok(found)
    }

    async fn outsider(
        &self,
        ldap: &mut Ldap,
        entry: &SearchEntry,
        name: &str,
    ) -> Result<Outsider, Shut> {
        let way = &self.way;
        let subject = match &way.id {
            None => Some(entry.dn.clone()),
            Some(id) => one(entry, id),
        };
        let subject = subject.filter(|it| !it.is_empty() && it.len() <= GROUP_BYTES_MAX);
        let subject = subject.ok_or_else(|| self.untrue(&"an entry does not say who it is"))?;
        let groups = self.groups(ldap, entry, name).await?;
        Ok(Outsider {
            origin: Origin {
                kind: Kind::Ldap,
                way: way.name.clone(),
                subject,
            },
            name: one(entry, &way.called).unwrap_or_default(),
            display: one(entry, &way.display).unwrap_or_default(),
            roles: way.roles.roles(&groups, Kind::Ldap),
            parts: way.roles.parts(&groups, Kind::Ldap),
        })
    }

    async fn groups(
        &self,
        ldap: &mut Ldap,
        entry: &SearchEntry,
        name: &str,
    ) -> Result<Vec<String>, Shut> {
        let mut groups = match &self.way.groups {
            GroupsFrom::Attribute(attribute) => values(&entry.attrs, attribute).to_vec(),
            GroupsFrom::Search {
                base,
                filter,
                name: called,
            } => {
                let filter = filled(filter, name, &entry.dn);
                let wanted = vec![called.clone()];
                let max = GROUPS_MAX + 1;
                let found = self.search(ldap, base, Scope::Subtree, &filter, wanted, max);
                let found = found.await?;
                // Named by themselves, and by their whole names.
                let names = found.iter().flat_map(|it| {
                    let own = values(&it.attrs, called).iter().cloned();
                    own.chain([it.dn.clone()])
                });
                if found.len() > GROUPS_MAX {
                    return Err(self.untrue(&"somebody is in too many groups"));
                }
                names.take(2 * GROUPS_MAX).collect()
            }
        };
        groups.retain(|it| it.len() <= GROUP_BYTES_MAX);
        if groups.len() > 2 * GROUPS_MAX {
            return Err(self.untrue(&"somebody is in too many groups"));
        }
        Ok(groups)
    }

    /// What the operator has to know; who signs in learns that it failed.
    fn told(&self, unmet: Unmet, why: &dyn Display) -> Shut {
        tracing::warn!(way = self.way.name, code = unmet.code(), "sign-in: {why}");
        Shut::Unmet(unmet)
    }

    fn silent(&self, why: &dyn Display) -> Shut {
        self.told(Unmet::Unanswered, why)
    }

    fn untrue(&self, why: &dyn Display) -> Shut {
        self.told(Unmet::Untrue, why)
    }
}

/// A filter with a name and an entry's name in it, neither of which can be more than a value.
fn filled(filter: &str, name: &str, dn: &str) -> String {
    // One after the other, so that nothing is looked for in what was put in.
    let mut parts = filter
        .split("{name}")
        .map(|part| part.replace("{dn}", &ldap_escape(dn)));
    let first = parts.next().unwrap_or_default();
    let name = ldap_escape(name);
    parts.fold(first, |text, part| format!("{text}{name}{part}"))
}

/// The values of an attribute, whose name is the same in capitals.
fn values<'a>(attributes: &'a HashMap<String, Vec<String>>, name: &str) -> &'a [String] {
    let found = attributes
        .iter()
        .find(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map_or(&[], |(_, values)| values)
}

/// The first value; of one that is no text, its digits.
fn one(entry: &SearchEntry, name: &str) -> Option<String> {
    if let Some(text) = values(&entry.attrs, name).first() {
        return Some(text.clone());
    }
    let mut bytes = entry.bin_attrs.iter();
    let (_, bytes) = bytes.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
    bytes.first().map(|it| to_hex(it))
}

/// The system's certificates, and the file's.
fn tls(way: &LdapWay, ca: Option<&Path>) -> Result<Arc<ClientConfig>, WorkshopError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let own = rustls_native_certs::load_certs_from_paths(Some(path), None).certs;
        let (taken, _) = roots.add_parsable_certificates(own);
        if taken == 0 {
            let what = format!("{} holds no certificate", path.display());
            let next = "name a file of certificates in PEM under `ca`";
            return Err(refused(way, &what, next));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(way, &error.to_string(), "please report it"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn refused(way: &LdapWay, what: &str, next: &str) -> WorkshopError {
    WorkshopError::new(
        "sign-in-file",
        format!("the way {}: {what}", way.name),
        next,
    )
}

impl People {
    /// Who gives this name and password, by a directory; nothing where none is to be asked about them. Whoever is
    /// known is asked for where they are; whoever is not, everywhere.
    pub(in crate::people) async fn by_directory(
        &self,
        name: &str,
        password: &Secret,
    ) -> Option<Result<Arc<Person>, Shut>> {
        let all = self.outside()?.ldap.iter();
        let known = self.find(name);
        let meant: Vec<&Directory> = match known.as_ref().map(|it| &it.row.origin) {
            None => all.collect(),
            Some(Some(origin)) if origin.kind == Kind::Ldap => {
                all.filter(|it| it.way.name == origin.way).collect()
            }
            Some(_) => return None,
        };
        if meant.is_empty() {
            return None;
        }
        let mut shut = Shut::Wrong;
        for directory in meant {
            match directory.ask(name, password).await {
                Ok(outsider) => return Some(self.admit(outsider).await),
                Err(Shut::Wrong) => {}
                Err(other) => shut = other,
            }
        }
        Some(Err(shut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_filter_stays_a_value() {
        for (name, told) in [
            ("anna", "(&(uid=anna)(x=1))"),
            ("*", r"(&(uid=\2a)(x=1))"),
            ("a)(uid=*", r"(&(uid=a\29\28uid=\2a)(x=1))"),
            (r"a\2a", r"(&(uid=a\5c2a)(x=1))"),
            ("a\0b", r"(&(uid=a\00b)(x=1))"),
            ("{dn}", "(&(uid={dn})(x=1))"),
        ] {
            let told_of = filled("(&(uid={name})(x=1))", name, "cn=x");
            assert_eq!(told_of, told);
            assert!(parse_filter(&told_of).is_ok(), "{told_of}");
        }
        let both = filled("(&(member={dn})(memberUid={name}))", "a*", "cn=b)(c");
        assert_eq!(both, r"(&(member=cn=b\29\28c)(memberUid=a\2a))");
    }

    #[test]
    fn whatever_the_name_is_the_filter_has_the_same_shape() {
        // Seeded: the same bytes each time. One value with no operator in it, whatever the name.
        let mut state: u64 = 11;
        let letters: Vec<char> = "()*\\\0&|!=<>~:, {}dnameü安".chars().collect();
        for _ in 0..2000 {
            let mut name = String::new();
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % letters.len();
                name.push(letters[at]);
            }
            let told = filled("(uid={name})", &name, "");
            assert!(parse_filter(&told).is_ok(), "{told}");
            let inside = &told[5..told.len() - 1];
            assert!(!inside.contains(['(', ')', '*', '\0']), "{told}");
            let dn = format!("uid={},ou=people", dn_escape(name.as_str()));
            assert!(dn.ends_with(",ou=people"), "{dn}");
        }
    }

    #[tokio::test]
    async fn an_empty_password_is_refused_before_anybody_is_asked() {
        // Nobody listens there: asking would fail with another reason.
        let way = LdapWay {
            name: "directory".to_owned(),
            url: "ldap://127.0.0.1:1".parse().unwrap(),
            start_tls: false,
            ca: None,
            find: Find::Template("uid={name},dc=example".to_owned()),
            called: "uid".to_owned(),
            display: "cn".to_owned(),
            id: None,
            groups: GroupsFrom::Attribute("memberOf".to_owned()),
            roles: Default::default(),
        };
        let directory = Directory::new(&way).unwrap();
        let asked = |password: &str| {
            let (directory, password) = (directory.clone(), Secret(password.to_owned()));
            async move { directory.ask("anna", &password).await }
        };
        assert!(matches!(asked("").await, Err(Shut::Wrong)));
        let silent = asked("x").await;
        assert!(
            matches!(silent, Err(Shut::Unmet(Unmet::Unanswered))),
            "{silent:?}"
        );
        let broken = LdapWay {
            groups: GroupsFrom::Search {
                base: String::new(),
                filter: "(member={dn}".to_owned(),
                name: "cn".to_owned(),
            },
            ..way
        };
        assert_eq!(Directory::new(&broken).unwrap_err().code(), "sign-in-file");
    }
}
