//! A home is saved and put back; archives that somebody made to do harm are refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_evidence::statement::ApprovalPolicy;

use super::card::{Card, NAME, STORE, VERSION};
use super::{PutBack, Saved, restore, save, seal};
use crate::bring::BringBegin;
use crate::error::WorkshopError;
use crate::home::{Home, Locked};
use crate::store::Store;
use crate::store::change::{Change, NewArtifact};
use crate::{keyring, ledger, objects, testing};

/// Weights that zstd cannot shrink, and a text that it can.
const WEIGHTS: usize = 3000;

struct Place {
    folder: tempfile::TempDir,
    home: Home,
    artifact: Digest,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, name: &str, with_keys: bool) -> Result<Saved, WorkshopError> {
        save(&self.home, &self.at(name), with_keys, &mut |_, _| {})
    }

    fn fresh(&self, name: &str) -> Home {
        Home::locate(Some(self.at(name))).unwrap()
    }
}

/// A home with a key, a ledger of one entry and an artifact of two files.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(folder.path().join("home"))).unwrap();
    home.create().unwrap();
    home.salt_seed().unwrap();
    let built = home.tmp().join("x");
    fs::create_dir_all(built.join("more")).unwrap();
    let weights: Vec<u8> = (0..WEIGHTS as u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    fs::write(built.join("weights"), weights).unwrap();
    fs::write(built.join("more/config.json"), "{}".repeat(1000)).unwrap();
    let sealed = objects::seal(&home, &built).unwrap();
    let kept = Change::ArtifactKept {
        artifact: Box::new(NewArtifact {
            digest: sealed.digest.to_string(),
            manifest: sealed.manifest,
        }),
        kind: "model",
        at_ms: 1,
    };
    block(async {
        let store = Store::open(&home.store()).await.unwrap();
        ledger::open(&store, &home, ApprovalPolicy::default())
            .await
            .unwrap();
        store.apply(&[kept]).await.unwrap();
        store.close().await;
    });
    Place {
        folder,
        home,
        artifact: sealed.digest,
    }
}

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn put_back(home: &Home, from: &Path) -> Result<PutBack, WorkshopError> {
    home.create().unwrap();
    let Locked::Mine(_lock) = home.lock().unwrap() else {
        panic!("a fresh home is free");
    };
    restore(home, from, &[], &mut |_, _| {})
}

/// All files that matter, with their bytes.
fn content(home: &Home) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for part in ["objects", "keys", "salt.seed"] {
        let path = home.root().join(part);
        if path.is_file() {
            found.push((part.to_owned(), fs::read(&path).unwrap()));
        } else if path.is_dir() {
            for file in objects::manifest_of(&path).unwrap().files() {
                let bytes = fs::read(path.join(&file.path)).unwrap();
                found.push((format!("{part}/{}", file.path), bytes));
            }
        }
    }
    found
}

fn envelopes(home: &Home) -> Vec<Vec<u8>> {
    block(async {
        let store = Store::open_read_only(&home.store()).await.unwrap();
        let envelopes = store.envelopes().await.unwrap();
        store.close().await;
        envelopes
    })
}

#[test]
fn a_home_comes_back_whole_compressed_or_not() {
    let place = place();
    for (name, back) in [("plain.tar", "a"), ("small.tar.zst", "b")] {
        let saved = place.save(name, true).unwrap();
        assert_eq!((saved.artifacts, saved.with_keys), (1, true));
        assert!(saved.signed_by.is_some());
        assert!(
            saved
                .checkpoint
                .is_some_and(|note| note.contains("lathe.workshop/"))
        );
        let mode = fs::metadata(place.at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "data and keys are for one user");
        let back = place.fresh(back);
        let put = put_back(&back, &place.at(name)).unwrap();
        assert_eq!((put.artifacts, put.bytes), (1, saved.bytes));
        assert_eq!(content(&back), content(&place.home));
        assert_eq!(envelopes(&back), envelopes(&place.home));
        assert!(objects::entries(&back.tmp()).unwrap().is_empty());
        let key = fs::metadata(back.keys().join("workshop.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    let size = |name: &str| fs::metadata(place.at(name)).unwrap().len();
    assert!(size("small.tar.zst") < size("plain.tar"));
}

#[test]
fn what_people_made_and_brought_comes_back_and_goes_on() {
    let begin = |name: &str, bytes| BringBegin {
        name: name.to_owned(),
        bytes: Some(bytes),
        sha256: None,
        project: None,
    };
    let (folder, home, coming) = block(async {
        let (folder, shop) = testing::shop().await;
        let pack = shop.home().packs().join("ours");
        fs::create_dir_all(pack.join("more")).unwrap();
        fs::write(pack.join("pack.yaml"), "name: ours\n").unwrap();
        fs::write(pack.join("more/records.jsonl"), "{}\n").unwrap();
        // Longer than a name in an archive may be.
        let long = "客户反馈".repeat(20) + ".csv";
        let whole = shop.bring_begin(begin(&long, 4)).await.unwrap();
        let coming = shop.bring_begin(begin("calls.csv", 8)).await.unwrap();
        for id in [&whole.id, &coming.id] {
            let piece = shop.bring_piece(id, 0, b"a,b\n".to_vec());
            piece.await.unwrap();
        }
        let home = shop.home().clone();
        shop.stop().await;
        (folder, home, coming.id)
    });
    let file = folder.path().join("x.tar.zst");
    save(&home, &file, true, &mut |_, _| {}).unwrap();
    let back = Home::locate(Some(folder.path().join("back"))).unwrap();
    put_back(&back, &file).unwrap();
    let own = |home: &Home| {
        [home.packs(), home.brought()].map(|part| objects::manifest_of(&part).unwrap())
    };
    assert_eq!(own(&home).map(|it| it.files().len()), [2, 4]);
    assert_eq!(own(&back), own(&home));
    block(async {
        let shop = testing::open(back).await;
        let all = shop.brought_files().await.unwrap();
        assert_eq!(all.iter().filter(|it| it.complete).count(), 1);
        let ended = shop.bring_piece(&coming, 4, b"c,d\n".to_vec()).await;
        assert!(ended.unwrap().complete);
        shop.stop().await;
    });
}

#[test]
fn a_pack_that_changes_meanwhile_is_not_saved() {
    let place = place();
    let pack = place.home.packs().join("ours");
    fs::create_dir_all(&pack).unwrap();
    let (yaml, link) = (pack.join("pack.yaml"), pack.join("elsewhere"));
    fs::write(&yaml, "name: ours\n").unwrap();
    // Artifacts are written before packs.
    let mut changes = |_: u64, _: u64| fs::write(&yaml, "name: hers\n").unwrap();
    let error = save(&place.home, &place.at("x.tar"), false, &mut changes).unwrap_err();
    assert_eq!(error.code(), "backup-packs", "{error}");
    assert!(!place.at("x.tar").exists());
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let error = place.save("x.tar", false).unwrap_err();
    assert_eq!(error.code(), "object-not-a-file");
    fs::remove_file(&link).unwrap();
    assert!(place.save("x.tar", false).is_ok());
}

#[test]
fn without_being_asked_no_key_leaves_the_home() {
    let place = place();
    let saved = place.save("public.tar", false).unwrap();
    assert!(!saved.with_keys);
    let key = fs::read(place.home.keys().join("workshop.key")).unwrap();
    let seed = fs::read(place.home.root().join("salt.seed")).unwrap();
    let archive = fs::read(place.at("public.tar")).unwrap();
    for secret in [&key[52..80], &seed[..]] {
        assert!(!archive.windows(secret.len()).any(|it| it == secret));
    }
    let back = place.fresh("back");
    assert!(!put_back(&back, &place.at("public.tar")).unwrap().with_keys);
    assert!(!back.keys().exists() && !back.root().join("salt.seed").exists());
    assert_eq!(envelopes(&back), envelopes(&place.home));
}

#[test]
fn nothing_is_written_over() {
    let place = place();
    place.save("x.tar", false).unwrap();
    assert_eq!(
        place.save("x.tar", false).unwrap_err().code(),
        "backup-exists"
    );
    let before = content(&place.home);
    let error = put_back(&place.home, &place.at("x.tar")).unwrap_err();
    assert_eq!(error.code(), "restore-not-empty");
    assert_eq!(content(&place.home), before);
    let nothing = place.fresh("nothing");
    let error = save(&nothing, &place.at("y.tar"), false, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), "backup-nothing");
}

#[test]
fn an_altered_artifact_is_not_saved_and_is_named() {
    let place = place();
    let file = objects::path(&place.home, &place.artifact.to_string()).join("weights");
    let mut bytes = fs::read(&file).unwrap();
    bytes[WEIGHTS / 2] ^= 1;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let error = place.save("x.tar", false).unwrap_err();
    assert_eq!(error.code(), "backup-altered");
    assert!(error.to_string().contains("weights"), "{error}");
    assert!(!place.at("x.tar").exists());
}

#[test]
fn a_flipped_byte_is_refused_and_its_file_named() {
    let place = place();
    place.save("x.tar", true).unwrap();
    let archive = fs::read(place.at("x.tar")).unwrap();
    let weights = objects::path(&place.home, &place.artifact.to_string()).join("weights");
    let weights = fs::read(weights).unwrap();
    let inside = archive
        .windows(weights.len())
        .position(|it| it == weights)
        .unwrap();
    let flipped = place.at("flipped.tar");
    for at in [inside, inside + WEIGHTS / 2, inside + WEIGHTS - 1] {
        let mut bytes = archive.clone();
        bytes[at] ^= 0x10;
        fs::write(&flipped, bytes).unwrap();
        let back = place.fresh("back");
        let error = put_back(&back, &flipped).unwrap_err();
        assert_eq!(error.code(), "backup-damaged");
        let named = format!("objects/{}/weights has other bytes", place.artifact);
        assert!(error.to_string().contains(&named), "{error}");
        assert!(content(&back).is_empty() && !back.store().exists());
    }
}

#[test]
fn wherever_a_byte_flips_nothing_altered_is_put_back() {
    let place = place();
    let whole = content(&place.home);
    for name in ["x.tar", "x.tar.zst"] {
        place.save(name, true).unwrap();
        let archive = fs::read(place.at(name)).unwrap();
        let mut refused = 0;
        for at in (0..archive.len()).step_by(archive.len() / 60) {
            let mut bytes = archive.clone();
            bytes[at] ^= 1;
            let flipped = place.at("flipped");
            fs::write(&flipped, bytes).unwrap();
            let back = place.fresh(&format!("{name}-{at}"));
            match put_back(&back, &flipped) {
                Err(error) => {
                    assert_eq!(error.code(), "backup-damaged", "{name} at {at}: {error}");
                    refused += 1;
                }
                // What nobody reads: zeros that fill a block of the archive up.
                Ok(_) => assert_eq!(content(&back), whole, "{name} at {at}"),
            }
        }
        assert!(refused > 20, "{name}: {refused}");
    }
    place.save("cut.tar", true).unwrap();
    let archive = fs::read(place.at("cut.tar")).unwrap();
    for len in [0, 1, 100, 512, 600, archive.len() / 2, archive.len() - 2000] {
        fs::write(place.at("cut"), &archive[..len]).unwrap();
        let error = put_back(&place.fresh(&format!("cut-{len}")), &place.at("cut")).unwrap_err();
        assert_eq!(error.code(), "backup-damaged", "cut to {len}");
    }
}

/// An archive of a backup's, with its list or its signature exchanged.
fn exchanged(archive: &[u8], wanted: &str, with: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let bytes = if name == wanted {
            with(bytes)
        } else {
            Some(bytes)
        };
        if let Some(bytes) = bytes {
            let mut header = tar::Header::new_ustar();
            header.set_path(&name).unwrap();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_cksum();
            tar.append(&header, &bytes[..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

#[test]
fn the_list_is_signed_and_nobody_else_can_write_it() {
    let place = place();
    let saved = place.save("x.tar", false).unwrap();
    let key = keyring::read(&place.home.keys().join("workshop.key")).unwrap();
    assert_eq!(saved.signed_by, Some(key.id()));
    let archive = fs::read(place.at("x.tar")).unwrap();
    let refused = |what: &str, bytes: Vec<u8>| {
        fs::write(place.at("y.tar"), bytes).unwrap();
        let error = put_back(&place.fresh("back"), &place.at("y.tar")).unwrap_err();
        assert_eq!(error.code(), "backup-damaged", "{what}");
        error.to_string()
    };
    let later = |list: Vec<u8>| {
        let mut card: Card = serde_json::from_slice(&list).unwrap();
        card.made_ms += 1;
        Some(serde_json::to_vec(&card).unwrap())
    };
    let said = refused("another list", exchanged(&archive, NAME, later));
    assert!(said.contains("its list is altered"), "{said}");
    let said = refused("no signature", exchanged(&archive, seal::NAME, |_| None));
    assert!(said.contains("backup.dsse"), "{said}");
    // Whoever signs it anew has no key that the ledger knows, whoever they say they are.
    let theirs = keyring::new().unwrap();
    for named in [theirs.id(), key.id()] {
        let list = |list: Vec<u8>| {
            let mut card: Card = serde_json::from_slice(&list).unwrap();
            card.signer = Some(named);
            Some(serde_json::to_vec(&card).unwrap())
        };
        let altered = exchanged(&archive, NAME, list);
        let signature = seal::seal(&first_of(&altered), &theirs).unwrap();
        let signed = exchanged(&altered, seal::NAME, |_| Some(signature.clone()));
        let said = refused("a stranger's signature", signed);
        assert!(
            said.contains("root key") || said.contains("signature"),
            "{said}"
        );
    }
    let back = put_back(&place.fresh("whole"), &place.at("x.tar")).unwrap();
    assert_eq!(back.signed_by, Some(key.id()));
}

/// The first file of an archive: the list.
fn first_of(archive: &[u8]) -> Vec<u8> {
    let mut archive = tar::Archive::new(archive);
    let mut first = archive.entries().unwrap().next().unwrap().unwrap();
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_key_that_is_named_has_to_stand_behind_it() {
    let place = place();
    let saved = place.save("x.tar", false).unwrap();
    let own = saved.signed_by.unwrap();
    let with = |name: &str, archive: &str, key: Digest| {
        let home = place.fresh(name);
        home.create().unwrap();
        restore(&home, &place.at(archive), &[key], &mut |_, _| {})
    };
    assert!(with("a", "x.tar", own).is_ok());
    let error = with("b", "x.tar", Digest::of(b"another")).unwrap_err();
    assert_eq!(error.code(), "backup-damaged");
    // One of the layout before, which nobody signed, is taken where no key is named.
    let list = |list: Vec<u8>| {
        let mut card: Card = serde_json::from_slice(&list).unwrap();
        (card.version, card.signer) = (1, None);
        Some(serde_json::to_vec(&card).unwrap())
    };
    let older = exchanged(&fs::read(place.at("x.tar")).unwrap(), NAME, list);
    let older = exchanged(&older, seal::NAME, |_| None);
    fs::write(place.at("older.tar"), older).unwrap();
    let error = with("c", "older.tar", own).unwrap_err();
    assert!(error.to_string().contains("nobody signed"), "{error}");
    let put = put_back(&place.fresh("d"), &place.at("older.tar")).unwrap();
    assert_eq!(put.signed_by, None);
}

// What somebody makes to do harm.

/// A list of the store and one more file, and what the archive then holds.
fn hostile(path: &str, entries: &[(tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let listed = |path: &str, bytes: &[u8]| ManifestFile {
        path: path.to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let card = Card {
        version: VERSION,
        lathe: "0".to_owned(),
        made_ms: 0,
        with_keys: true,
        signer: None,
        content: Manifest::new(vec![listed(path, b"key"), listed(STORE, b"store")]).unwrap(),
    };
    let text = serde_json::to_vec(&card).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, tar::EntryType::Regular, NAME, &text);
    for (kind, name, bytes) in entries {
        append(&mut tar, *kind, name, bytes);
    }
    tar.into_inner().unwrap()
}

/// Whatever the name is: tar's own functions would refuse to write such.
fn append(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    if kind != tar::EntryType::Regular {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_entry_type(kind);
    header.set_mode(0o4777);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

#[test]
fn archives_made_to_do_harm_are_refused() {
    use tar::EntryType::{GNULongName, Link, Regular, Symlink};
    let place = place();
    let key = "keys/a.key";
    let store = (Regular, STORE, &b"store"[..]);
    let sound = (Regular, key, &b"key"[..]);
    let cases: [(&str, Vec<u8>); 9] = [
        (
            "climbs",
            hostile(key, &[(Regular, "../../a.key", b"key"), store]),
        ),
        (
            "is absolute",
            hostile(key, &[(Regular, "/tmp/a.key", b"key"), store]),
        ),
        (
            "is a symbolic link",
            hostile(key, &[(Symlink, key, b""), store]),
        ),
        ("is a hard link", hostile(key, &[(Link, key, b""), store])),
        (
            "is longer than listed",
            hostile(key, &[(Regular, key, &[b'k'; 4000]), store]),
        ),
        (
            "has one file more",
            hostile(key, &[sound, store, (Regular, "keys/b.key", b"key")]),
        ),
        ("has another order", hostile(key, &[store, sound])),
        (
            "hides a name",
            hostile(
                key,
                &[(GNULongName, "././@LongLink", &[b'a'; 5000]), sound, store],
            ),
        ),
        (
            "lists what no home has",
            hostile("lathe", &[(Regular, "lathe", b"key"), store]),
        ),
    ];
    for (what, bytes) in cases {
        let file = place.at("hostile.tar");
        fs::write(&file, bytes).unwrap();
        let back = place.fresh("back");
        let error = put_back(&back, &file).unwrap_err();
        assert_eq!(error.code(), "backup-damaged", "what {what}: {error}");
        assert!(
            content(&back).is_empty() && !back.store().exists(),
            "what {what}"
        );
    }
    // The same archive without the harm is taken.
    fs::write(place.at("sound.tar"), hostile(key, &[sound, store])).unwrap();
    assert!(put_back(&place.fresh("sound"), &place.at("sound.tar")).is_ok());
}

#[test]
fn a_bomb_does_not_go_off() {
    let place = place();
    // A list of 256 MiB of spaces, a few kilobytes when packed.
    let mut header = tar::Header::new_ustar();
    header.set_path(NAME).unwrap();
    header.set_size(256 << 20);
    header.set_cksum();
    let file = place.at("bomb.tar.zst");
    let out = fs::File::create(&file).unwrap();
    let mut packed = zstd::stream::write::Encoder::new(out, 1).unwrap();
    packed.write_all(header.as_bytes()).unwrap();
    for _ in 0..256 {
        packed.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    packed.finish().unwrap();
    let error = put_back(&place.fresh("back"), &file).unwrap_err();
    assert_eq!(error.code(), "backup-damaged");
    assert!(error.to_string().contains("more than"), "{error}");

    // A list that asks for more than any disk has.
    let whole = lathe_evidence::canonical::WHOLE_MAX.unsigned_abs();
    let listed = ManifestFile {
        path: STORE.to_owned(),
        size: whole,
        sha256: Digest::of(b""),
    };
    let card = Card {
        version: VERSION,
        lathe: "0".to_owned(),
        made_ms: 0,
        with_keys: false,
        signer: None,
        content: Manifest::new(vec![listed]).unwrap(),
    };
    let mut tar = tar::Builder::new(Vec::new());
    let text = serde_json::to_vec(&card).unwrap();
    append(&mut tar, tar::EntryType::Regular, NAME, &text);
    fs::write(&file, tar.into_inner().unwrap()).unwrap();
    let error = put_back(&place.fresh("full"), &file).unwrap_err();
    assert_eq!(error.code(), "disk-full");
}
