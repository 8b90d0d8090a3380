//! A home of an older version under this one: the upgrade is rehearsed, done, taken back, and done again by
//! the daemon, whose model then answers.

use std::fs;
use std::path::Path;

use lathe_tests::{Home, Serving, fixture, root, text, wait_for};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// The layout of the older version: before there were keys of the API.
const OLDER: i64 = 3;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Writes the rows of `home`'s store into one of the older layout, and puts that into its place.
fn make_older(home: &Home) {
    let (now, older) = (
        home.path().join("store.sqlite"),
        home.path().join("older.sqlite"),
    );
    runtime()
        .block_on(copy_rows(&now, &older))
        .expect("an older store");
    for beside in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        // The last two are there only after a crash.
        let _ = fs::remove_file(home.path().join(beside));
    }
    fs::rename(older, now).expect("renames");
}

async fn copy_rows(now: &Path, older: &Path) -> Result<(), sqlx::Error> {
    let migrations = root().join("crates/workshop/migrations");
    let all = Migrator::new(migrations.as_path()).await?;
    let options = SqliteConnectOptions::new()
        .filename(older)
        .create_if_missing(true)
        .foreign_keys(false);
    let mut store = SqliteConnection::connect_with(&options).await?;
    all.run_to(OLDER, &mut store).await?;
    sqlx::query("ATTACH DATABASE ? AS now")
        .bind(now.display().to_string())
        .execute(&mut store)
        .await?;
    let tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' \
                  AND name <> '_sqlx_migrations' AND name NOT LIKE 'sqlite%'";
    for table in sqlx::query(tables).fetch_all(&mut store).await? {
        let table: String = table.get("name");
        let columns = AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
        let columns = sqlx::query(columns).fetch_all(&mut store).await?;
        let quoted = |it: &sqlx::sqlite::SqliteRow| format!("\"{}\"", it.get::<String, _>("name"));
        let columns: Vec<String> = columns.iter().map(quoted).collect();
        let columns = columns.join(", ");
        let rows =
            format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}");
        sqlx::query(AssertSqlSafe(rows)).execute(&mut store).await?;
    }
    store.close().await
}

/// The layout of a home's store.
fn schema(home: &Home) -> i64 {
    let read = async {
        let options = SqliteConnectOptions::new().filename(home.path().join("store.sqlite"));
        let mut store = SqliteConnection::connect_with(&options).await?;
        let newest = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations")
            .fetch_one(&mut store)
            .await?;
        store.close().await?;
        Ok::<i64, sqlx::Error>(newest.get("version"))
    };
    runtime().block_on(read).expect("a store")
}

#[test]
fn an_older_home_is_rehearsed_upgraded_taken_back_and_served() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let known = schema(&home);
    let entries = home.ledger_kinds().len();
    make_older(&home);
    let store = home.path().join("store.sqlite");
    let (bytes, names) = (fs::read(&store).expect("reads"), home.names("."));

    let told = home.json(&["upgrade", "--rehearse", "--json"]);
    assert_eq!((&told["from"], &told["to"]), (&json!(OLDER), &json!(known)));
    assert_eq!(told["problems"], json!([]), "{told}");
    assert_eq!(told["ledger_entries"], entries);
    assert_eq!(
        fs::read(&store).expect("reads"),
        bytes,
        "nothing is touched"
    );
    assert_eq!(home.names("."), names);

    let done = home.json(&["upgrade", "--json"]);
    let kept = done["kept"].as_str().expect("a file");
    assert!(Path::new(kept).is_file(), "{done}");
    assert_eq!(schema(&home), known);
    let output = home.output(&["verify"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let back = home.json(&["upgrade", "--back", "--json"]);
    assert_eq!(
        (&back["schema"], &back["lost"]),
        (&json!(OLDER), &json!([]))
    );
    assert_eq!(schema(&home), OLDER);

    let log = home.path().join("up.log");
    let up = ["up", "--listen", "127.0.0.1:0"];
    let serving = Serving::start_logged(&home, &mut home.lathe(&up), &log);
    let question = json!({
        "model": "tiny-pack", "max_tokens": 3,
        "messages": [{ "role": "user", "content": "the camera is great" }],
    });
    wait_for("an answer", || {
        (serving.post("/v1/chat/completions", &question).0 == 200).then_some(())
    });
    assert_eq!(schema(&home), known);
    let busy = home.output(&["upgrade"]);
    assert!(!busy.status.success() && text(&busy.stderr).contains("home-busy"));
    assert!(serving.interrupt().success());
    let said = fs::read_to_string(log).expect("a log");
    assert!(said.contains("as it was it is kept"), "{said}");

    // The answer's receipt is what going back would lose.
    let refused = home.output(&["upgrade", "--back"]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("receipts"),
        "{said}"
    );
    let nothing = Home::bare().output(&["upgrade", "--rehearse"]);
    assert!(text(&nothing.stderr).contains("upgrade-nothing"));
}
