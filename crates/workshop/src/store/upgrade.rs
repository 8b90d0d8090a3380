//! A store of an older layout brought to this version's: rehearsed on a copy, done with the store as it
//! was kept beside it, taken back.
//!
//! A rehearsal runs the real migrations on a whole copy and holds the copy against the store: what was there
//! is there, the ledger byte for byte and verified, SQLite finds nothing wrong, and this version reads it.
//! Whenever an older store is opened for writing, by a command or a daemon, it is kept first. Going back puts
//! that file into its place again, and refuses where anything was written since, unless that may be lost.
//! Artifacts are never touched: migrations change the store alone.

mod facts;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Row as _, SqlitePool};

use super::version::MIGRATIONS;
use super::{Store, failed, options, readers};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use facts::{Facts, changes, damage, differences, facts, since, wrong};

/// What kept stores are called: this, the number of their layout, perhaps a moment.
const KEPT: &str = "store-schema-";
/// What a store's file ends in.
const ENDING: &str = ".sqlite";

/// What an upgrade does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// The layout that the store has.
    pub from: i64,
    /// The layout that this version writes.
    pub to: i64,
    /// What is done, in this order.
    pub migrations: Vec<Step>,
    /// How large the store is.
    pub store_bytes: u64,
    /// Tables that have another number of rows afterwards, or come or go.
    pub tables: Vec<TableChange>,
    /// Rows of all tables before.
    pub rows: u64,
    /// Entries of the ledger, each the same byte for byte.
    pub ledger_entries: u64,
    /// How long the copy took.
    pub copy_ms: u64,
    /// How long the migrations took.
    pub migrate_ms: u64,
    /// How long it took to hold everything.
    pub check_ms: u64,
    /// What does not hold; empty for an upgrade that is sound.
    pub problems: Vec<String>,
    /// The store as it was, where the upgrade was done.
    pub kept: Option<PathBuf>,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number: the layout that it makes.
    pub version: i64,
    /// What it is called.
    pub name: String,
}

/// A table before and after; none where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// Its name.
    pub name: String,
    /// Its rows before.
    pub rows_before: Option<u64>,
    /// Its rows after.
    pub rows_after: Option<u64>,
}

/// An upgrade that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TakenBack {
    /// The layout that the store has now.
    pub schema: i64,
    /// The file that was put back.
    pub from: PathBuf,
    /// The store as it was until now.
    pub kept: PathBuf,
    /// What was written since and is no longer there.
    pub lost: Vec<TableChange>,
}

/// Upgrades a copy and tells what came of it. Whoever serves the home goes on.
///
/// # Errors
/// `upgrade-nothing` where nothing was ever stored; `store-version` for a store of a newer version;
/// the store's and the file system's.
pub async fn rehearse(home: &Home) -> Result<Upgrade, WorkshopError> {
    let store = home.store();
    if !store.is_file() {
        return Err(WorkshopError::new(
            "upgrade-nothing",
            format!("nothing was ever stored in {}", home.root().display()),
            "name the home with --home FOLDER",
        ));
    }
    let store_bytes = fs::metadata(&store)
        .map_err(|error| io_error("look at", &store, &error))?
        .len();
    let scratch = tempfile::tempdir_in(home.tmp())
        .map_err(|error| io_error("make a folder in", &home.tmp(), &error))?;
    let copy = scratch.path().join("store.sqlite");
    let begun = Instant::now();
    Store::copy(&store, &copy).await?;
    let copy_ms = elapsed_ms(begun);
    let pool = writer(&copy).await?;
    let rehearsed = rehearse_on(&pool).await;
    pool.close().await;
    Ok(Upgrade {
        store_bytes,
        copy_ms,
        ..rehearsed?
    })
}

async fn rehearse_on(pool: &SqlitePool) -> Result<Upgrade, WorkshopError> {
    let from = schema(pool).await?;
    let before = facts(pool).await?;
    let begun = Instant::now();
    let migrated = MIGRATIONS.run(pool).await;
    let migrate_ms = elapsed_ms(begun);
    let begun = Instant::now();
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    match migrated {
        Err(error) if from > Store::schema_known() => return Err(of_another_version(&error)),
        Err(error) => problems.push(format!("a migration fails: {error}")),
        Ok(()) => {
            let after = facts(pool).await?;
            problems.extend(differences(&before, &after));
            problems.extend(wrong(pool).await?);
            tables = changes(&before.tables, &after.tables);
        }
    }
    let pending = MIGRATIONS.iter().filter(|it| it.version > from);
    Ok(Upgrade {
        from,
        to: Store::schema_known(),
        migrations: pending
            .map(|it| Step {
                version: it.version,
                name: it.description.to_string(),
            })
            .collect(),
        store_bytes: 0,
        tables,
        rows: before.tables.values().sum(),
        ledger_entries: before.entries,
        copy_ms: 0,
        migrate_ms,
        check_ms: elapsed_ms(begun),
        problems,
        kept: None,
    })
}

/// Upgrades the home, whose lock the caller holds: rehearsed first, and left as it is where that finds
/// a problem.
///
/// # Errors
/// As [`rehearse`].
pub async fn upgrade(home: &Home) -> Result<Upgrade, WorkshopError> {
    let mut upgrade = rehearse(home).await?;
    if !upgrade.problems.is_empty() || upgrade.from == upgrade.to {
        return Ok(upgrade);
    }
    let pool = writer(&home.store()).await?;
    let done = bring_forward(&pool, &home.store()).await;
    let problems = match &done {
        Ok(_) => wrong(&pool).await,
        Err(_) => Ok(Vec::new()),
    };
    pool.close().await;
    upgrade.kept = done?;
    upgrade.problems = problems?;
    Ok(upgrade)
}

/// Brings an open store to this version's layout, and keeps it as it was where that changes anything.
///
/// # Errors
/// `store-version`, `store`, `disk-full`.
pub(super) async fn bring_forward(
    pool: &SqlitePool,
    path: &Path,
) -> Result<Option<PathBuf>, WorkshopError> {
    let from = schema(pool).await?;
    let kept = if from > 0 && from < Store::schema_known() {
        Some(keep(pool, path, from).await?)
    } else {
        None
    };
    MIGRATIONS
        .run(pool)
        .await
        .map_err(|error| of_another_version(&error))?;
    Ok(kept)
}

fn of_another_version(error: &sqlx::migrate::MigrateError) -> WorkshopError {
    WorkshopError::new(
        "store-version",
        format!("cannot bring the store to this version of Lathe: {error}"),
        "use the version of Lathe that wrote this home, or another home",
    )
}

/// Puts the store that the newest upgrade kept into its place. The caller holds the home's lock.
///
/// # Errors
/// `upgrade-none` where none was kept; `upgrade-newer`, naming what would be lost, unless `loses`; the
/// store's and the file system's.
pub async fn take_back(home: &Home, loses: bool) -> Result<TakenBack, WorkshopError> {
    let store = home.store();
    let (present, now) = looked_at(&store).await?;
    let from = newest_kept(home, present)?;
    let (schema, then) = looked_at(&from).await?;
    let lost = since(&then, &now);
    if !lost.is_empty() && !loses {
        let named: Vec<String> = lost.iter().map(ToString::to_string).collect();
        return Err(WorkshopError::new(
            "upgrade-newer",
            format!(
                "cannot take the upgrade back: written since, and then lost: {}",
                named.join(", ")
            ),
            "go on with this version; or pass --lose-newer, and say `lathe restored` before you serve",
        ));
    }
    let kept = put_back(&store, &from).await?;
    Ok(TakenBack {
        schema,
        from,
        kept,
        lost,
    })
}

/// A pool of one connection, in the mode that the file has.
async fn writer(path: &Path) -> Result<SqlitePool, WorkshopError> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options(path))
        .await
        .map_err(failed("open the database"))
}

/// The layout of an open store; 0 for an empty file.
async fn schema(pool: &SqlitePool) -> Result<i64, WorkshopError> {
    let doing = "read the layout";
    let table = "SELECT COUNT(*) AS count FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let row = sqlx::query(table).fetch_one(pool).await;
    if row.map_err(failed(doing))?.get::<i64, _>("count") == 0 {
        return Ok(0);
    }
    let newest = "SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations";
    let row = sqlx::query(newest).fetch_one(pool).await;
    Ok(row.map_err(failed(doing))?.get("version"))
}

/// Copies a store beside itself before it is changed.
async fn keep(pool: &SqlitePool, path: &Path, schema: i64) -> Result<PathBuf, WorkshopError> {
    let named = |name: String| path.with_file_name(name);
    let mut kept = named(format!("{KEPT}{schema}{ENDING}"));
    if kept.exists() {
        kept = named(format!("{KEPT}{schema}-{}{ENDING}", now_ms()));
    }
    let draft = kept.with_extension("part");
    let fail = |error: std::io::Error| io_error("keep the store as", &kept, &error);
    if draft.exists() {
        fs::remove_file(&draft).map_err(fail)?;
    }
    sqlx::query("VACUUM INTO ?")
        .bind(draft.to_string_lossy().into_owned())
        .execute(pool)
        .await
        .map_err(failed("keep the store as it is"))?;
    settle(&draft, &kept, path).map_err(fail)?;
    Ok(kept)
}

/// Makes a draft durable, gives it the rights of `like`, and its name.
fn settle(draft: &Path, to: &Path, like: &Path) -> std::io::Result<()> {
    fs::set_permissions(draft, fs::metadata(like)?.permissions())?;
    File::open(draft)?.sync_all()?;
    fs::rename(draft, to)?;
    let folder = to.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The kept store of an older layout than `present` that was written last.
fn newest_kept(home: &Home, present: i64) -> Result<PathBuf, WorkshopError> {
    let fail = |error: std::io::Error| io_error("list", home.root(), &error);
    let mut newest = None;
    for entry in fs::read_dir(home.root()).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if layout_of(&name).is_some_and(|layout| layout < present) {
            let written = entry.metadata().and_then(|it| it.modified());
            newest = newest.max(Some((written.map_err(fail)?, entry.path())));
        }
    }
    newest.map(|(_, path)| path).ok_or_else(|| {
        WorkshopError::new(
            "upgrade-none",
            format!("no upgrade kept a store in {}", home.root().display()),
            "restore a backup into another home with `lathe restore`",
        )
    })
}

/// The layout that the name of a kept store tells.
fn layout_of(name: &str) -> Option<i64> {
    let told = name.strip_prefix(KEPT)?.strip_suffix(ENDING)?;
    told.split('-').next()?.parse().ok()
}

/// Layout and facts of a file that nobody writes, and that SQLite finds whole.
async fn looked_at(path: &Path) -> Result<(i64, Facts), WorkshopError> {
    let pool = readers(path).await?;
    let looked = async {
        let problems = damage(&pool).await?;
        if let Some(first) = problems.first() {
            return Err(WorkshopError::new(
                "store-unreadable",
                format!("cannot read {}: {first}", path.display()),
                "restore a backup into another home with `lathe restore`",
            ));
        }
        Ok((schema(&pool).await?, facts(&pool).await?))
    };
    let looked = looked.await;
    pool.close().await;
    looked
}

/// Exchanges the store for the kept one; the store of until now is kept in turn.
async fn put_back(store: &Path, from: &Path) -> Result<PathBuf, WorkshopError> {
    let fail = |error: std::io::Error| io_error("put back", store, &error);
    // The log of writing is folded in first: it would be read into whatever has the store's name.
    let pool = writer(store).await?;
    let known = schema(&pool).await?;
    let folded = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&pool)
        .await;
    pool.close().await;
    folded.map_err(failed("fold in the write-ahead log"))?;
    for beside in ["-wal", "-shm"] {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(beside);
        let path = store.with_file_name(name);
        if path.exists() {
            let busy = std::io::Error::other("another process has it open");
            return Err(io_error("put back", &path, &busy));
        }
    }
    let kept = store.with_file_name(format!("{KEPT}{known}-{}{ENDING}", now_ms()));
    let draft = kept.with_extension("part");
    fs::copy(from, &draft).map_err(fail)?;
    fs::hard_link(store, &kept).map_err(fail)?;
    settle(&draft, store, from).map_err(fail)?;
    Ok(kept)
}

fn elapsed_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use lathe_evidence::statement::ApprovalPolicy;

    use super::super::{Change, tests};
    use super::facts::opened;
    use super::*;
    use crate::ledger;
    use crate::order::OrderId;

    /// The layout of the older version.
    const OLDER: i64 = 3;

    fn block<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work)
    }

    fn placed() -> Change {
        tests::placed(&OrderId::new())
    }

    /// A home as the older version left it: its layout, a ledger that was begun, two orders.
    async fn older() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        home.create().unwrap();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options(&home.store()).create_if_missing(true))
            .await
            .unwrap();
        MIGRATIONS.run_to(OLDER, &pool).await.unwrap();
        let store = Store {
            write: Some(pool.clone()),
            ..opened(&pool)
        };
        ledger::open(&store, &home, ApprovalPolicy::default())
            .await
            .unwrap();
        for id in [OrderId::new(), OrderId::new()] {
            // As that version placed one.
            sqlx::query(
                "INSERT INTO orders (id, pack, title_en, title_zh, demonstration, offline, folder,
                                     pack_sha256, spec, origin, state, created_ms)
                 VALUES (?, 'p', '', '', 0, 0, '/p', '0', '{}', NULL, 'queued', 1)",
            )
            .bind(id.0)
            .execute(&pool)
            .await
            .unwrap();
        }
        store.close().await;
        (folder, home)
    }

    fn names(home: &Home) -> Vec<String> {
        let entries = fs::read_dir(home.root()).unwrap();
        let mut names: Vec<String> = entries
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    async fn schema_of(home: &Home) -> i64 {
        let store = Store::open_read_only(&home.store()).await.unwrap();
        let schema = store.schema().await.unwrap();
        store.close().await;
        schema
    }

    /// Does something to a home's store that this version would not do.
    async fn meddle(home: &Home, sql: &'static str) {
        let pool = writer(&home.store()).await.unwrap();
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        pool.close().await;
    }

    #[test]
    fn a_rehearsal_tells_all_and_touches_nothing() {
        block(async {
            let (_folder, home) = older().await;
            let before = (fs::read(home.store()).unwrap(), names(&home));
            let told = rehearse(&home).await.unwrap();
            assert_eq!((told.from, told.to), (OLDER, Store::schema_known()));
            assert_eq!(told.problems, Vec::<String>::new());
            let versions: Vec<i64> = told.migrations.iter().map(|it| it.version).collect();
            assert_eq!(versions, (OLDER + 1..=told.to).collect::<Vec<_>>());
            assert_eq!((told.ledger_entries, told.kept), (1, None));
            let came = TableChange {
                name: "tokens".to_owned(),
                rows_before: None,
                rows_after: Some(0),
            };
            assert!(told.tables.contains(&came), "{:?}", told.tables);
            assert!(told.tables.iter().all(|it| it.rows_before.is_none()));
            assert_eq!((fs::read(home.store()).unwrap(), names(&home)), before);
            assert_eq!(fs::read_dir(home.tmp()).unwrap().count(), 0);
        });
    }

    #[test]
    fn an_upgrade_keeps_the_store_and_can_be_taken_back() {
        block(async {
            let (_folder, home) = older().await;
            let done = upgrade(&home).await.unwrap();
            assert_eq!(done.problems, Vec::<String>::new());
            let kept = done.kept.expect("kept");
            assert_eq!(schema_of(&home).await, Store::schema_known());
            // As a daemon of the new version would.
            let store = Store::open(&home.store()).await.unwrap();
            assert_eq!(store.orders(9, 0).await.unwrap().len(), 2);
            store.close().await;
            let back = take_back(&home, false).await.unwrap();
            assert_eq!((back.schema, &back.from), (OLDER, &kept));
            assert_eq!(schema_of(&home).await, OLDER);
            let again = rehearse(&home).await.unwrap();
            assert_eq!((again.rows, again.problems.len()), (done.rows, 0));
        });
    }

    #[test]
    fn opening_an_older_store_keeps_it_and_a_new_one_is_not_kept() {
        block(async {
            let (_folder, home) = older().await;
            for _ in 0..2 {
                let store = Store::open(&home.store()).await.unwrap();
                store.close().await;
            }
            let kept: Vec<String> = names(&home)
                .into_iter()
                .filter(|it| it.starts_with(KEPT))
                .collect();
            assert_eq!(kept, ["store-schema-3.sqlite"]);
            let again = upgrade(&home).await.unwrap();
            assert_eq!((again.migrations.len(), again.kept), (0, None));
        });
    }

    #[test]
    fn what_was_written_since_is_not_lost_unasked() {
        block(async {
            let (_folder, home) = older().await;
            assert_eq!(
                take_back(&home, true).await.unwrap_err().code(),
                "upgrade-none"
            );
            let store = Store::open(&home.store()).await.unwrap();
            store.apply(&[placed()]).await.unwrap();
            store.close().await;
            let error = take_back(&home, false).await.unwrap_err();
            assert_eq!(error.code(), "upgrade-newer");
            assert!(error.to_string().contains("orders (2 rows then, 3 now)"));
            assert_eq!(schema_of(&home).await, Store::schema_known());
            let back = take_back(&home, true).await.unwrap();
            let orders = back.lost.iter().find(|it| it.name == "orders");
            assert_eq!(orders.and_then(|it| it.rows_after), Some(3));
            let none = take_back(&home, true).await.unwrap_err();
            assert_eq!(none.code(), "upgrade-none", "nothing older is kept");
            let newer = looked_at(&back.kept).await.unwrap();
            assert_eq!(newer.1.tables["orders"], 3, "and even so it is there");
        });
    }

    #[test]
    fn what_would_go_wrong_is_found_on_the_copy_and_the_home_stays() {
        block(async {
            for (sql, wanted) in [
                ("CREATE TABLE tokens (other TEXT)", "a migration fails"),
                (
                    "UPDATE ledger SET envelope = x'7b7d'",
                    "the ledger does not hold",
                ),
                (
                    "PRAGMA foreign_keys = OFF; INSERT INTO curve VALUES ('nobody', 1, '{}')",
                    "a row of curve names none of orders",
                ),
            ] {
                let (_folder, home) = older().await;
                meddle(&home, sql).await;
                let before = fs::read(home.store()).unwrap();
                for told in [rehearse(&home).await, upgrade(&home).await] {
                    let problems = told.unwrap().problems;
                    assert!(
                        problems.iter().any(|it| it.contains(wanted)),
                        "{problems:?}"
                    );
                }
                assert_eq!(fs::read(home.store()).unwrap(), before, "{sql}");
                assert_eq!(schema_of(&home).await, OLDER, "{sql}");
            }
        });
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_an_empty_home_too() {
        block(async {
            let (_folder, home) = older().await;
            meddle(
                &home,
                "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, 1, checksum, 0 \
                 FROM _sqlx_migrations LIMIT 1",
            )
            .await;
            assert_eq!(rehearse(&home).await.unwrap_err().code(), "store-version");
            let folder = tempfile::tempdir().unwrap();
            let home = Home::locate(Some(folder.path().to_owned())).unwrap();
            assert_eq!(rehearse(&home).await.unwrap_err().code(), "upgrade-nothing");
        });
    }
}
