//! Archives sound and hostile, made here byte by byte.

use std::io::Write as _;

use ::tar::{Builder, EntryType, Header};
use ::zip::ZipWriter;
use ::zip::write::SimpleFileOptions;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn bounds() -> Bounds {
    Bounds::default()
}

fn take_within(archive: &[u8], inner: &str, bounds: Bounds) -> Result<Vec<u8>, Failure> {
    let wanted = Wanted {
        inner,
        stem: "plain.txt",
        bounds,
    };
    let mut out = Vec::new();
    let bytes = extract_from(Cursor::new(archive), &wanted, &mut out)?;
    assert_eq!(bytes, out.len() as u64);
    Ok(out)
}

fn take(archive: &[u8], inner: &str) -> Result<Vec<u8>, Failure> {
    take_within(archive, inner, bounds())
}

#[track_caller]
fn refuse(archive: &[u8], inner: &str, reason: &str) {
    match take(archive, inner) {
        Err(Failure::Refused(text)) => assert!(text.contains(reason), "{text}"),
        other => panic!("{other:?} instead of `{reason}`"),
    }
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar entry whose name is written as it is, which the tar crate's own writer refuses to do.
fn tar_entry(kind: EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(tar::BLOCK_BYTES), 0);
    bytes
}

fn tar_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 2 * tar::BLOCK_BYTES, 0);
    bytes
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    tar_entry(EntryType::Regular, name, content)
}

#[test]
fn the_wanted_file_comes_out_of_every_kind() {
    let files = [("a/one.txt", &b"one"[..]), ("b.txt", b"two")];
    let tar = tar_of(&[file("./a/one.txt", b"one"), file("b.txt", b"two")]);
    for archive in [zip_of(&files), gzip_of(&tar), tar] {
        assert_eq!(take(&archive, "a/one.txt").unwrap(), b"one");
        assert_eq!(take(&archive, "b.txt").unwrap(), b"two");
        match take(&archive, "a/One.txt") {
            Err(Failure::Missing(names)) => assert_eq!(names, ["a/one.txt", "b.txt"]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(take(&gzip_of(b"plain"), "plain.txt").unwrap(), b"plain");
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let name = format!("{}/end.txt", "long".repeat(60));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(3);
    builder
        .append_data(&mut header, &name, &b"gnu"[..])
        .unwrap();
    assert_eq!(take(&builder.into_inner().unwrap(), &name).unwrap(), b"gnu");

    let mut builder = Builder::new(Vec::new());
    let records = [("path", name.as_bytes())];
    builder.append_pax_extensions(records).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(3);
    header.set_cksum();
    builder.append(&header, &b"pax"[..]).unwrap();
    assert_eq!(take(&builder.into_inner().unwrap(), &name).unwrap(), b"pax");
}

#[test]
fn names_that_lead_outside_refuse_the_whole_archive() {
    for (name, reason) in [
        ("../evil.txt", "climbs out by `..`"),
        ("a/../../evil.txt", "climbs out"),
        ("..\\evil.txt", "climbs out"),
        ("/etc/evil.txt", "absolute path"),
        ("C:\\evil.txt", "absolute path"),
    ] {
        let tar = tar_of(&[file("good.txt", b"good"), file(name, b"evil")]);
        refuse(&tar, "good.txt", reason);
        refuse(&gzip_of(&tar), "good.txt", reason);
        refuse(
            &zip_of(&[("good.txt", b"good"), (name, b"evil")]),
            "good.txt",
            reason,
        );
    }
}

#[test]
fn links_are_refused_when_wanted_and_never_followed() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let tar = tar_of(&[tar_entry(kind, "data.csv", b""), file("b", b"b")]);
        refuse(&tar, "data.csv", "`data.csv` is a link");
        assert_eq!(take(&tar, "b").unwrap(), b"b");
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("data.csv", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let zip = writer.finish().unwrap().into_inner();
    refuse(&zip, "data.csv", "`data.csv` is a link");
}

#[test]
fn folders_devices_and_twins_are_refused() {
    let folder = tar_of(&[tar_entry(EntryType::Directory, "data", b"")]);
    refuse(&folder, "data", "is a folder");
    let device = tar_of(&[tar_entry(EntryType::Char, "data", b"")]);
    refuse(&device, "data", "no plain file");
    let twins = tar_of(&[file("data", b"1"), file("data", b"2")]);
    refuse(&twins, "data", "`data` twice");
}

#[test]
fn bombs_stop_at_the_ratio_and_at_the_bytes() {
    let zeros = vec![0; 8 << 20];
    let small = Bounds {
        ratio_free_bytes: 1 << 20,
        ..bounds()
    };
    let tight = Bounds {
        unpacked_bytes_max: 1 << 20,
        ..bounds()
    };
    let tar = tar_of(&[file("bomb", &zeros)]);
    for archive in [zip_of(&[("bomb", &zeros)]), gzip_of(&tar)] {
        for (bounds, reason) in [
            (small, "times its size"),
            (tight, "more than 1048576 bytes"),
        ] {
            match take_within(&archive, "bomb", bounds) {
                Err(Failure::Refused(text)) => assert!(text.contains(reason), "{text}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(
            take(&archive, "bomb").is_ok(),
            "small enough to be harmless"
        );
    }
    assert!(measure_zip(&zip_of(&[("a", &zeros), ("b", &zeros)]), 9 << 20).is_err());
    assert!(measure_zip(&zip_of(&[("a", &zeros)]), 9 << 20).is_ok());
}

#[test]
fn too_many_entries_are_refused() {
    let entries: Vec<_> = (0..20).map(|n| file(&format!("f{n}"), b"")).collect();
    let few = Bounds {
        entries_max: 10,
        ..bounds()
    };
    let outcome = take_within(&tar_of(&entries), "f0", few);
    assert!(matches!(outcome, Err(Failure::Refused(text)) if text.contains("10 entries")));
}

#[test]
fn huge_headers_are_refused_before_they_are_read() {
    let huge = |kind| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 40);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        refuse(&huge(kind), "x", "is longer than");
    }
    refuse(&huge(EntryType::Regular), "x", "cut short");
    let long = vec![b'n'; ARCHIVE_NAME_BYTES_MAX as usize + 1];
    let named = tar_of(&[tar_entry(EntryType::GNULongName, "", &long), file("x", b"")]);
    refuse(&named, "x", "longer than 4096 bytes");
    let resized = tar_of(&[
        tar_entry(EntryType::XHeader, "", b"10 size=9\n"),
        file("x", b""),
    ]);
    refuse(&resized, "x", "overrules a file's size");
}

#[test]
fn other_kinds_are_named() {
    refuse(b"", "x", "empty");
    refuse(b"BZh91AY", "x", "a bzip2 file");
    refuse(b"\xfd7zXZ\0", "x", "an xz file");
    refuse(b"hello", "x", "no archive");
}

#[test]
fn every_truncation_of_a_packed_archive_is_refused() {
    let text: Vec<u8> = (0..2000u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    let gzipped = gzip_of(&tar_of(&[file("data", &text)]));
    let zipped = zip_of(&[("data", &text)]);
    for whole in [gzipped, zipped] {
        assert_eq!(take(&whole, "data").unwrap(), text);
        for cut in (0..whole.len())
            .step_by(7)
            .chain(whole.len() - 20..whole.len())
        {
            assert!(take(&whole[..cut], "data").is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn changed_bytes_give_the_same_content_or_an_error_but_never_a_panic() {
    let text = b"some text that is long enough to be deflated, deflated, deflated".repeat(20);
    for whole in [
        gzip_of(&tar_of(&[file("data", &text)])),
        zip_of(&[("data", &text)]),
    ] {
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                if let Ok(content) = take(&changed, "data") {
                    assert_eq!(content, text, "byte {at}");
                }
                fuzz(&changed);
            }
        }
    }
}
