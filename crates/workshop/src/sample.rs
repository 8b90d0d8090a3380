//! The sample that the program carries, so that a workshop started anywhere can run it.
//!
//! Where there is no folder of its name beside the daemon, its one file is written into the home when it is asked for.
//! Not here: what it fetches, which its sources name as any pack's do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::home::Home;

/// What an order names it by: where it lies in Lathe's repository.
pub(crate) const PLACE: &str = "packs/customer-care";
const TEXT: &str = include_str!("../../../packs/customer-care/pack.yaml");

/// The folder that it is read from, where it is this that is named and nothing of that name is there; none where it
/// cannot be written.
pub(crate) fn folder(home: &Home, named: &Path) -> Option<PathBuf> {
    if named != Path::new(PLACE) || named.exists() {
        return None;
    }
    written(home, TEXT)
}

fn written(home: &Home, text: &str) -> Option<PathBuf> {
    let folder = home.sample();
    let file = folder.join("pack.yaml");
    let is_there = || fs::read_to_string(&file).is_ok_and(|it| it == text);
    // An older program may have left another.
    if is_there() {
        return Some(folder);
    }
    let draft = folder.join(format!("pack.yaml.{}", std::process::id()));
    let write = || {
        fs::create_dir_all(&folder)?;
        fs::write(&draft, text)?;
        fs::rename(&draft, &file)
    };
    // Whoever asked at the same moment may have put the draft in its place already.
    (write().is_ok() || is_there()).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_once_and_anew_where_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        let place = self::folder(&home, Path::new(PLACE)).unwrap();
        let pack = crate::pack::load(&place, true).unwrap().pack;
        assert_eq!(pack.name, "customer-care");
        let changed = || {
            place
                .join("pack.yaml")
                .metadata()
                .unwrap()
                .modified()
                .unwrap()
        };
        let first = changed();
        assert_eq!(self::folder(&home, Path::new(PLACE)), Some(place.clone()));
        assert_eq!(changed(), first);
        fs::write(place.join("pack.yaml"), "name: other").unwrap();
        self::folder(&home, Path::new(PLACE)).unwrap();
        assert_eq!(fs::read_to_string(place.join("pack.yaml")).unwrap(), TEXT);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn nothing_else_is_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned())).unwrap();
        for other in [
            "customer-care",
            "packs",
            "packs/other",
            "/packs/customer-care",
        ] {
            assert_eq!(self::folder(&home, Path::new(other)), None, "{other}");
        }
        let barred = Home::locate(Some(Path::new("/dev/null").to_owned())).unwrap();
        assert_eq!(self::folder(&barred, Path::new(PLACE)), None);
    }
}
