//! The directory: OpenLDAP's slapd over a folder of its own, with TLS by a certificate of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lathe_tests::wait_for;

use super::free_port;

const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reader-secret

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: uid=anna,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: anna
cn: Anna Berg
sn: Berg
mail: anna@example.org
userPassword: correct horse battery
memberOf: cn=tuners,ou=groups,dc=example,dc=org

dn: uid=root,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: root
cn: Another
sn: Another
mail: root@example.org
userPassword: correct horse battery
memberOf: cn=tuners,ou=groups,dc=example,dc=org

dn: uid=eve,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: eve
cn: Eve
sn: Eve
mail: eve@example.org
userPassword: correct horse battery

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=tuners,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: tuners
member: uid=anna,ou=people,dc=example,dc=org
member: uid=root,ou=people,dc=example,dc=org
";

/// Where OpenLDAP lies: below `/`, or below where `cargo xtask ci` unpacked it.
fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("LATHE_TEST_SLAPD").map(PathBuf::from);
    let roots = named.into_iter().chain([PathBuf::from("/")]);
    let wanted = [
        "usr/sbin/slapd",
        "usr/sbin/slapadd",
        "etc/ldap/schema/core.schema",
    ];
    let has_all = |root: &PathBuf| wanted.iter().all(|file| root.join(file).is_file());
    roots.into_iter().find(has_all)
}

/// A directory that answers, ended with its value.
pub struct Directory {
    child: Child,
    folder: tempfile::TempDir,
    /// Its port, and the one where TLS begins at once.
    pub ports: (u16, u16),
}

impl Directory {
    /// Starts one; none where slapd is nowhere.
    pub fn start() -> Option<Directory> {
        let root = installed()?;
        let folder = tempfile::tempdir().expect("a folder");
        certify(folder.path());
        configure(&root, folder.path());
        let entries = folder.path().join("entries.ldif");
        fs::write(&entries, ENTRIES).expect("writes");
        let mut add = tool(&root, "slapadd", folder.path());
        let added = add.arg("-l").arg(&entries).status().expect("slapadd runs");
        assert!(added.success(), "the entries are taken");
        let ports = (free_port(), free_port());
        let listen = format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", ports.0, ports.1);
        let mut slapd = tool(&root, "slapd", folder.path());
        // In the foreground.
        let child = slapd.args(["-d", "0", "-h", &listen]).spawn();
        let directory = Directory {
            child: child.expect("slapd starts"),
            folder,
            ports,
        };
        wait_for("the directory", || {
            std::net::TcpStream::connect(("127.0.0.1", ports.1)).ok()
        });
        Some(directory)
    }

    /// The certificate of the authority that its own is from.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing is left to do where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool(root: &Path, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(root.join("usr/sbin").join(name));
    let libraries = root
        .join("usr/lib")
        .join(format!("{}-linux-gnu", std::env::consts::ARCH));
    command
        .arg("-f")
        .arg(folder.join("slapd.conf"))
        .env("LD_LIBRARY_PATH", libraries)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// An authority, and a certificate of it for this machine's names.
fn certify(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("writes");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let ca = params.self_signed(&ca_key).expect("a certificate");
    write("ca.pem", ca.pem());
    let issuer = rcgen::Issuer::from_params(&params, &ca_key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = rcgen::CertificateParams::new(names).expect("names");
    let key = rcgen::KeyPair::generate().expect("a key");
    write(
        "cert.pem",
        own.signed_by(&key, &issuer).expect("a certificate").pem(),
    );
    write("key.pem", key.serialize_pem());
}

/// Nobody reads the directory but the entry that looks, and people themselves.
fn configure(root: &Path, folder: &Path) {
    let (schema, modules) = (root.join("etc/ldap/schema"), root.join("usr/lib/ldap"));
    let (schema, modules, own) = (schema.display(), modules.display(), folder.display());
    fs::create_dir(folder.join("entries")).expect("makes a folder");
    let text = format!(
        "include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb.so
moduleload memberof.so
pidfile {own}/slapd.pid
TLSCertificateFile {own}/cert.pem
TLSCertificateKeyFile {own}/key.pem
security simple_bind=128
database mdb
suffix \"dc=example,dc=org\"
directory {own}/entries
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=\"ou=groups,dc=example,dc=org\" by users read by * none
access to * by dn.exact=\"cn=reader,dc=example,dc=org\" read by self read by * none
"
    );
    fs::write(folder.join("slapd.conf"), text).expect("writes");
}
