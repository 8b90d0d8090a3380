//! `export HOME OUT`: a home's evidence in the forms that other people's tools read.
//!
//! `envelopes/N.json` (DSSE over in-toto), `keys.json` (public keys by id), and for every artifact a
//! copy of its files under `models/DIGEST/` with `model.sig` (OpenSSF model signing) beside them and
//! `model.pub`; `boms/NAME.json` (CycloneDX) for each deployment. What `cargo xtask acceptance validators` hands to the real Python packages.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use lathe_ledger::history::{History, Trust};
use lathe_ledger::model_signing::{FILE_NAME, ModelKey};
use lathe_ledger::{PublicKey, SigningKey};
use lathe_register::chain;
use lathe_register::ml_bom::ml_bom;
use lathe_verify::objects::Objects;
use lathe_verify::store;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [home, out] = &arguments[..] else {
        return Err("usage: export HOME OUT".into());
    };
    let material = store::read(home)?;
    let envelopes = material.entries.iter().map(|it| it.envelope.clone());
    let history = History::verify(envelopes, &material.note, &Trust::default())
        .map_err(|problems| problems[0].to_string())?;
    std::fs::create_dir_all(out.join("envelopes"))?;
    for entry in &material.entries {
        let path = out.join(format!("envelopes/{}.json", entry.seq));
        std::fs::write(path, &entry.envelope)?;
    }
    let keys: BTreeMap<String, String> = history
        .keys()
        .map(|key| (key.record.id.to_string(), hex(key.public())))
        .collect();
    std::fs::write(out.join("keys.json"), serde_json::to_string(&keys)?)?;
    let objects = Objects::new(home, &material);
    models(home, out, &objects)?;
    boms(out, &history, &objects)?;
    println!("{} envelopes", material.entries.len());
    Ok(())
}

fn models(home: &Path, out: &Path, objects: &Objects) -> Result<(), Box<dyn Error>> {
    let pem = std::fs::read_to_string(home.join("keys/workshop.key"))?;
    let key = ModelKey::derive(&SigningKey::from_pem(&pem)?);
    std::fs::write(out.join("model.pub"), key.public_pem())?;
    for artifact in objects.stored() {
        let manifest = objects.manifest(artifact)?;
        let folder = out.join("models").join(artifact.to_string());
        for file in manifest.files() {
            let path = folder.join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            std::fs::write(path, objects.file(artifact, &file.path)?)?;
        }
        let bundle = key.sign(&artifact.to_string(), &manifest);
        std::fs::write(folder.join(FILE_NAME), bundle)?;
    }
    Ok(())
}

/// The bill of materials of each deployment whose chain holds.
fn boms(out: &Path, history: &History, objects: &Objects) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out.join("boms"))?;
    for link in chain::current(history) {
        // Nothing expires here: the bill is of what was deployed.
        let chain =
            chain::verify(history, &link, objects, 0).map_err(|denials| denials[0].to_string())?;
        let bom = ml_bom(history, &chain);
        std::fs::write(
            out.join(format!("boms/{}.json", chain.name)),
            serde_json::to_string_pretty(&bom)?,
        )?;
    }
    Ok(())
}

fn hex(key: &PublicKey) -> String {
    lathe_evidence::digest::to_hex(&key.to_bytes())
}
