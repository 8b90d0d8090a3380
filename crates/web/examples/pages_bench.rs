//! How fast every page and list answers over loopback, with very much in the store:
//! `pages_bench HOME fill ORDERS RECORDS RECEIPTS`, then `pages_bench HOME ask REQUESTS`.
//!
//! The home is one in which an order was run to its end; `cargo xtask bench pages` makes it. Everything is asked
//! for by somebody with every role, and lists then by a member of a large project and by one of a small: people that the
//! first asking lets in, and later ones find there. Each prints one line of JSON.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use lathe_web::{Access, AppState, router};
use lathe_workshop::Workshop;
use lathe_workshop::people::reach;
use lathe_workshop::seed::{self, Amounts, Seeded};
use serde_json::{Value, json};

/// What the bench's people log in with.
const PASSWORD: &str = "correct horse battery";
/// Who asks for everything, and may.
const ALL: &str = "bench";
/// What they do; without the first, what members do in their project.
const ROLES: [&str; 6] = [
    "administrator",
    "tuner",
    "approver",
    "data-owner",
    "operator",
    "auditor",
];
/// Where what was filled in is written down.
const SEEDED: &str = "seeded.json";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = match words[..] {
        [home, "fill", orders, records, receipts] => {
            let amounts = Amounts {
                orders: orders.parse()?,
                records: records.parse()?,
                receipts: receipts.parse()?,
                registrations: (orders.parse::<u32>()? / 10).max(60),
                points: 20_000,
            };
            fill(Path::new(home), amounts).await?
        }
        [home, "ask", requests] => ask(Path::new(home), requests.parse()?).await?,
        _ => return Err("pages_bench HOME fill ORDERS RECORDS RECEIPTS | ask REQUESTS".into()),
    };
    println!("{said}");
    Ok(())
}

async fn fill(home: &Path, amounts: Amounts) -> Outcome<Value> {
    let began = Instant::now();
    let shop = seed::open(home).await.map_err(told)?;
    let seeded = seed::fill(&shop, amounts).await.map_err(told)?;
    shop.stop().await;
    // What is opened anew puts the receipts into batches.
    let shop = seed::open(home).await.map_err(told)?;
    while !seed::is_batched(&shop).await.map_err(told)? {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.stop().await;
    std::fs::write(home.join(SEEDED), serde_json::to_vec(&seeded)?)?;
    let store = std::fs::metadata(home.join("store.sqlite"))?.len();
    Ok(json!({
        "orders": amounts.orders, "records": amounts.records, "receipts": amounts.receipts,
        "registrations": amounts.registrations, "points": amounts.points,
        "fill_s": began.elapsed().as_secs_f64(), "store_bytes": store,
    }))
}

fn told(error: lathe_workshop::WorkshopError) -> String {
    format!("{error} {}", error.next())
}

async fn ask(home: &Path, requests: usize) -> Outcome<Value> {
    let seeded: Seeded = serde_json::from_slice(&std::fs::read(home.join(SEEDED))?)?;
    let shop = seed::open(home).await.map_err(told)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = router(AppState::new(shop.clone(), Router::new(), Access::Loopback));
    reach::spawn(async move { axum::serve(listener, app).await });
    come(&shop, ALL, &ROLES).await?;
    let all = [paths(&seeded), others(&seeded)].concat();
    let mut rows = asked_by(address, ALL, all, requests).await?;
    for project in [seed::LARGE, seed::SMALL] {
        let member = format!("of-{project}");
        come(&shop, &member, &[]).await?;
        let part = json!({
            "do": "project-member", "project": project, "person": member,
            "roles": &ROLES[1..],
        });
        operate(&shop, part).await?;
        let lists = lists(&seeded.middle);
        rows.extend(asked_by(address, &member, lists, requests).await?);
    }
    Ok(json!({ "requests": requests, "rows": rows }))
}

/// What each of these addresses took, asked for by somebody who logs in for it.
async fn asked_by(
    address: SocketAddr,
    name: &str,
    paths: Vec<String>,
    requests: usize,
) -> Outcome<Vec<Value>> {
    let name = name.to_owned();
    let work = move || -> Outcome<Vec<Value>> {
        let cookie = log_in(address, &name)?;
        let rows = paths.iter();
        rows.map(|path| measured(address, path, requests, (&name, &cookie)))
            .collect()
    };
    reach::spawn_blocking(work).await?
}

async fn operate(shop: &Workshop, operation: Value) -> Outcome<Value> {
    let operation = serde_json::from_value(operation)?;
    Ok(shop.operate(operation).await.map_err(told)?)
}

/// Lets somebody in, unless an earlier asking did.
async fn come(shop: &Workshop, name: &str, roles: &[&str]) -> Outcome<()> {
    if shop.people().find(name).is_none() {
        let person =
            json!({"do": "person-add", "name": name, "roles": roles, "password": PASSWORD});
        operate(shop, person).await?;
    }
    Ok(())
}

/// What a browser sends back of somebody's session.
fn log_in(address: SocketAddr, name: &str) -> Outcome<String> {
    let body = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
    let head = format!(
        "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}",
        body.len()
    );
    let answer = String::from_utf8(send(address, &head, &body)?)?;
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .ok_or_else(|| format!("{name} was not let in: {answer}"))?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Every list that is narrowed to what somebody may see.
fn lists(middle: &str) -> Vec<String> {
    [
        "/".to_owned(),
        "/?page=2".to_owned(),
        "/?sort=longest".to_owned(),
        "/?state=failed&sort=pack".to_owned(),
        "/?q=nowhere".to_owned(),
        "/models".to_owned(),
        "/models?kind=base&q=nowhere".to_owned(),
        "/data".to_owned(),
        "/receipts".to_owned(),
        format!("/receipts?before={middle}"),
        "/register".to_owned(),
        "/api/orders?limit=500".to_owned(),
        "/api/models?limit=500".to_owned(),
        "/api/data".to_owned(),
        "/api/deployments".to_owned(),
        "/api/receipts?limit=500".to_owned(),
        format!("/api/receipts?limit=500&before={middle}"),
        "/api/register?limit=500".to_owned(),
    ]
    .to_vec()
}

/// What is read of one dataset record by record, and who may do what here.
fn others(seeded: &Seeded) -> Vec<String> {
    let dataset = &seeded.dataset;
    [
        "/?state=cancelled".to_owned(),
        format!("/data/{dataset}/records"),
        format!("/data/{dataset}/records?page=9000"),
        format!("/api/data/{dataset}/records?limit=500"),
        format!("/api/data/{dataset}/records?limit=500&offset=900000"),
        "/review".to_owned(),
        "/people".to_owned(),
        "/keys".to_owned(),
        "/audit".to_owned(),
        "/api/audit?limit=500".to_owned(),
        "/settings".to_owned(),
    ]
    .to_vec()
}

/// Every page and list that reads the store, with the dearest arguments.
fn paths(seeded: &Seeded) -> Vec<String> {
    let Seeded {
        order,
        model,
        long_order,
        dataset,
        leaf,
        receipt,
        middle,
        name,
        number,
    } = seeded;
    [
        "/".to_owned(),
        "/?page=150".to_owned(),
        "/?sort=longest&page=50".to_owned(),
        "/?state=failed&sort=pack".to_owned(),
        "/?q=nowhere".to_owned(),
        format!("/orders/{order}"),
        format!("/orders/{long_order}"),
        format!("/orders/{long_order}/live"),
        format!("/orders/{order}/lesson"),
        format!("/orders/{order}/clone"),
        format!("/orders/compare?ids={order}&ids={long_order}"),
        "/try".to_owned(),
        "/tour".to_owned(),
        "/models".to_owned(),
        "/models?page=150".to_owned(),
        "/models?kind=base&q=nowhere".to_owned(),
        format!("/models/{model}"),
        "/data".to_owned(),
        format!("/data/{dataset}"),
        "/receipts".to_owned(),
        format!("/receipts?before={middle}"),
        format!("/receipts?after={middle}"),
        format!("/receipts/{receipt}"),
        format!("/records/{leaf}"),
        format!("/records/{leaf}/withdraw"),
        format!("/deployments/{name}"),
        "/register".to_owned(),
        "/register?page=1".to_owned(),
        format!("/register/{number}"),
        format!("/register/{number}/filing"),
        "/ledger".to_owned(),
        "/ledger?page=20".to_owned(),
        "/ledger?kind=training".to_owned(),
        "/ledger/6".to_owned(),
        "/api/orders?limit=500".to_owned(),
        "/api/orders?limit=500&offset=9000".to_owned(),
        format!("/api/orders/{long_order}/curve"),
        format!("/api/orders/{long_order}/log"),
        "/api/data".to_owned(),
        "/api/models?limit=500&offset=8000".to_owned(),
        "/api/deployments".to_owned(),
        "/api/receipts?limit=500".to_owned(),
        "/api/receipts?limit=500&offset=100000".to_owned(),
        format!("/api/receipts?limit=500&before={middle}"),
        format!("/api/records/{leaf}"),
        "/api/trace?q=how+the+customer+feels+as+json".to_owned(),
        "/api/register?limit=500".to_owned(),
        "/api/ledger".to_owned(),
        "/api/ledger/entries?limit=500".to_owned(),
    ]
    .to_vec()
}

/// The median and the slowest of some requests, each over a connection of its own, by somebody who is logged in.
fn measured(
    address: SocketAddr,
    path: &str,
    requests: usize,
    (by, cookie): (&str, &str),
) -> Outcome<Value> {
    let head = format!("GET {path} HTTP/1.1\r\nCookie: {cookie}");
    let (mut times, mut bytes, mut status) = (Vec::new(), 0, 0);
    for _ in 0..requests.max(1) {
        let began = Instant::now();
        let answer = send(address, &head, "")?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        bytes = answer.len();
        let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        status = head.split(' ').nth(1).unwrap_or_default().parse()?;
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    // The first one is in the maximum and, where there are more, not in the median.
    let mut later = times.split_off(usize::from(times.len() > 1));
    later.sort_by(f64::total_cmp);
    Ok(json!({
        "path": path, "by": by, "status": status, "bytes": bytes,
        "median_ms": later[later.len() / 2], "max_ms": slowest,
    }))
}

/// What is answered to a request over a connection of its own; `head` without what all have.
fn send(address: SocketAddr, head: &str, body: &str) -> Outcome<Vec<u8>> {
    let mut connection = TcpStream::connect(address)?;
    write!(
        connection,
        "{head}\r\nHost: {address}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}
