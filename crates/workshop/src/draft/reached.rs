//! Which packs, and which files in their place, are for whoever asks.
//!
//! A pack that was made here of a project's data is for those who may look into the project. Whoever may not
//! tune everywhere takes packs that are listed and names no files: a path could lead to another project's.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::Value;

use super::folder_of;
use crate::error::WorkshopError;
use crate::order::OrderRequest;
use crate::people::{Reach, Right, Shown, reach};
use crate::workshop::Workshop;

/// What a source begins with that is a file of this machine.
const FILE: &str = "file:";

/// Whether somebody reaches every project, so that no path leads them out of theirs.
fn is_wide(reach: &Reach, right: Right) -> bool {
    reach.may_here(right) && reach.shown(Right::Look) == Shown::All
}

impl Workshop {
    /// Refuses a request whose pack or files are not for whoever asks.
    ///
    /// # Errors
    /// `pack-missing`, as if it were not there; `order-setting`.
    pub(crate) fn reaches(&self, request: &OrderRequest) -> Result<(), WorkshopError> {
        self.reaches_pack(&request.pack)?;
        self.reaches_set(&request.set)
    }

    /// Refuses a pack that is not for whoever asks.
    ///
    /// # Errors
    /// `pack-missing`.
    pub(crate) fn reaches_pack(&self, pack: &Path) -> Result<(), WorkshopError> {
        let Some(reach) = reach::now() else {
            return Ok(());
        };
        let is_listed = || self.packs().iter().any(|it| Path::new(&it.pack) == pack);
        let is_free = is_wide(&reach, Right::Tune);
        match self.is_of_others(pack, &reach) || !(is_free || is_listed()) {
            false => Ok(()),
            true => Err(WorkshopError::new(
                "pack-missing",
                format!("there is no pack {} for you", pack.display()),
                "take one that the page of a new order lists",
            )),
        }
    }

    /// Refuses files of this machine as sources, from whoever reaches only some projects.
    ///
    /// # Errors
    /// `order-setting`.
    pub(crate) fn reaches_set(&self, set: &BTreeMap<String, Value>) -> Result<(), WorkshopError> {
        if reach::now().is_none_or(|it| is_wide(&it, Right::Tune)) {
            return Ok(());
        }
        match set.iter().find(|(_, value)| names_a_file(value)) {
            None => Ok(()),
            Some((key, _)) => Err(WorkshopError::new(
                "order-setting",
                format!("`{key}` names a file of the workshop's machine"),
                "bring the file into your project: on the page of data, or with `lathe data bring`",
            )),
        }
    }

    /// Refuses a file of this machine as data, from whoever reaches only some projects.
    ///
    /// # Errors
    /// `data-add`.
    pub(crate) fn reaches_file(&self, file: &Path) -> Result<(), WorkshopError> {
        match reach::now().is_none_or(|it| is_wide(&it, Right::Data)) {
            true => Ok(()),
            false => Err(WorkshopError::new(
                "data-add",
                format!("{} is a file of the workshop's machine", file.display()),
                "bring a file of your own into your project: `lathe data bring`",
            )),
        }
    }

    /// Whether a pack lies among those that were made here, and of a project that whoever asks may not see.
    fn is_of_others(&self, pack: &Path, reach: &Reach) -> bool {
        let (Ok(folder), Ok(own)) = (
            folder_of(self.home(), pack).canonicalize(),
            self.home().packs().canonicalize(),
        ) else {
            return false;
        };
        let Ok(inside) = folder.strip_prefix(&own) else {
            return false;
        };
        match inside.components().next() {
            Some(Component::Normal(name)) => !reach.may_name(Right::Look, &name.to_string_lossy()),
            _ => false,
        }
    }
}

/// Whether a value is a file of this machine, or has one somewhere in it.
fn names_a_file(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_start().starts_with(FILE),
        Value::Array(items) => items.iter().any(names_a_file),
        Value::Object(members) => members.values().any(names_a_file),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::people::ProjectRow;
    use crate::testing::shop;

    #[test]
    fn a_file_is_found_wherever_it_stands() {
        for value in [
            json!("file:/a"),
            json!(["file:a"]),
            json!({"source": " file:a"}),
        ] {
            assert!(names_a_file(&value), "{value}");
        }
        for value in [
            json!("pypi:a==1#b"),
            json!(7),
            json!({"text": "a file: none"}),
        ] {
            assert!(!names_a_file(&value), "{value}");
        }
    }

    #[tokio::test]
    async fn whoever_reaches_one_project_takes_packs_that_are_listed_for_it() {
        let (_folder, shop) = shop().await;
        for id in ["ward", "bank"] {
            let row = ProjectRow {
                id: id.to_owned(),
                name: id.to_owned(),
                created_ms: 1,
            };
            shop.people().put_project(row).await.unwrap();
        }
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
        let text = std::fs::read_to_string(tiny.join("pack.yaml")).unwrap();
        for name in ["ward.mine", "bank.theirs"] {
            let folder = shop.home().packs().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("pack.yaml"), &text).unwrap();
        }
        let reach = Reach::Key("ward".to_owned(), shop.people().clone());
        let asks = async |pack: &Path| {
            let asked = async { shop.reaches_pack(pack).map_err(|error| error.code()) };
            reach::within(Some(reach.clone()), asked).await
        };
        assert_eq!(asks(Path::new("ward.mine")).await, Ok(()));
        let theirs = shop.home().packs().join("bank.theirs");
        for pack in [Path::new("bank.theirs"), &theirs, &tiny, Path::new("none")] {
            assert_eq!(asks(pack).await, Err("pack-missing"), "{}", pack.display());
        }
        assert!(shop.reaches_pack(&theirs).is_ok(), "nobody is asked");
        let set = BTreeMap::from([("data.source".to_owned(), json!("file:/etc/hosts"))]);
        let asked = reach::within(Some(reach.clone()), async { shop.reaches_set(&set) });
        assert_eq!(asked.await.unwrap_err().code(), "order-setting");
        assert!(shop.reaches_set(&set).is_ok());
        let asked = reach::within(Some(reach), async { shop.reaches_file(&tiny) });
        assert_eq!(asked.await.unwrap_err().code(), "data-add");
        assert!(shop.reaches_file(&tiny).is_ok());
        shop.stop().await;
    }
}
