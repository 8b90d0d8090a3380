//! What goes along for other people's tools: signatures in OpenSSF's format and a CycloneDX bill of
//! materials. Exported views: whoever takes a bundle over makes them again and compares.

use std::fs;
use std::path::Path;

use lathe_ledger::model_signing::{ModelKey, ModelPublicKey};

use super::card::CardObject;

/// The public key of the signatures.
pub(super) const PUBLIC_KEY: &str = "model.pub";
/// The bill of materials.
pub(super) const BOM: &str = "ml-bom.json";
/// The folder of the signatures, each named by its artifact.
const SIGNATURES: &str = "signatures";

/// Largest of these files.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Name and content of each.
pub(super) fn files(key: &ModelKey, objects: &[CardObject], bom: &str) -> Vec<(String, String)> {
    let signature = |object: &CardObject| {
        let digest = object.digest.to_string();
        let signed = key.sign(&digest, &object.manifest);
        (place(&digest), signed)
    };
    let mut files: Vec<(String, String)> = objects.iter().map(signature).collect();
    files.push((PUBLIC_KEY.to_owned(), key.public_pem()));
    files.push((BOM.to_owned(), bom.to_owned()));
    files
}

fn place(digest: &str) -> String {
    format!("{SIGNATURES}/{digest}.sig")
}

/// What does not hold of those in a bundle whose order names the key `public`.
pub(super) fn problems(
    from: &Path,
    public: &str,
    objects: &[CardObject],
    bom: &str,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, wanted) in [(PUBLIC_KEY, public), (BOM, bom)] {
        match read(from, name) {
            Ok(found) if found == wanted => {}
            Ok(_) => problems.push(format!("{name} is not what the chain makes it")),
            Err(problem) => problems.push(problem),
        }
    }
    let key = match ModelPublicKey::from_pem(public) {
        Ok(key) => key,
        Err(error) => return vec![format!("the key of the signatures: {error}")],
    };
    for object in objects {
        let name = place(&object.digest.to_string());
        let held = read(from, &name).and_then(|signed| {
            let verified = key.verify(&signed, &object.manifest);
            verified.map_err(|error| format!("{name}: {error}"))
        });
        problems.extend(held.err());
    }
    problems
}

fn read(from: &Path, name: &str) -> Result<String, String> {
    let path = from.join(name);
    let size = fs::metadata(&path).map_err(|error| format!("{name}: {error}"))?;
    if size.len() > FILE_BYTES_MAX {
        return Err(format!("{name} has more than {FILE_BYTES_MAX} bytes"));
    }
    fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))
}
