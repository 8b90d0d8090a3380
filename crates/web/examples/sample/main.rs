//! The pages over a workshop for looking at, without running an order:
//! `cargo run -p lathe-web --example sample -- [ADDRESS] [KIND [TEXT]]`.
//!
//! Written down: `empty`, `filed`, `decided`, `going-on`, `rejected`, `cancelled`, `refused`, `taken-back`, `many`, `long TEXT` and, without a kind, one at
//! work; `signed` is that one with people and another model that waits. Real, in a folder of its own: `fresh`, in which nobody and
//! nothing is yet, and `staffed`, whose people brought things, with TEXT for what they wrote. What it prints first
//! is where it stands, then, as JSON, what only this run knows: ids, and the sessions of people who are logged in.
//!
//! `-- pages` prints the method and the path of every page instead.

use std::error::Error;
use std::sync::Arc;

use lathe_web::{Access, AppState, page_routes, router};
use serde_json::{Value, json};

mod real;
#[path = "../../tests/web/sample/mod.rs"]
mod sample;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:7879");
    if address == "pages" {
        for (method, path) in page_routes() {
            println!("{method} {path}");
        }
        return Ok(());
    }
    let kind = arguments.next();
    let (state, known) = shown(kind.as_deref(), arguments.next().as_deref()).await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    println!("{known}");
    Ok(axum::serve(listener, router(state)).await?)
}

/// A workshop of this kind, and what only this run knows of it.
async fn shown(kind: Option<&str>, text: Option<&str>) -> Outcome<(AppState, Value)> {
    let text_or = |plain: &'static str| text.unwrap_or(plain).to_owned();
    let desk = match kind {
        None => sample::SampleDesk::new(),
        Some("empty") => sample::SampleDesk::empty(),
        Some("many") => sample::SampleDesk::many(),
        Some("filed") => sample::SampleDesk::filed(),
        Some("decided") => sample::SampleDesk::decided(),
        Some("going-on") => sample::SampleDesk::going_on(),
        Some("rejected") => sample::SampleDesk::rejected(),
        Some("cancelled") => sample::SampleDesk::cancelled(),
        Some("refused") => sample::SampleDesk::refused(),
        Some("taken-back") => sample::SampleDesk::taken_back(),
        Some("without-record") => sample::SampleDesk::without_record(),
        Some("long") => sample::SampleDesk::written_over(&text_or("long ")),
        Some("signed") => {
            let (workshop, known) = real::staffed(None).await?;
            let mut state = written_down(sample::SampleDesk::waiting());
            state.people = workshop.people().clone();
            return Ok((state, known));
        }
        Some("fresh") => return Ok((over(real::fresh().await?), json!({}))),
        Some("staffed") => {
            let (workshop, known) = real::staffed(text).await?;
            return Ok((over(workshop), known));
        }
        Some(other) => return Err(format!("there is no sample of the kind {other}").into()),
    };
    Ok((written_down(desk), json!({})))
}

fn written_down(desk: sample::SampleDesk) -> AppState {
    AppState::with_desk(Arc::new(desk), sample::door(), Access::Loopback)
}

fn over(workshop: lathe_workshop::Workshop) -> AppState {
    AppState::new(workshop, sample::door(), Access::Loopback)
}
