//! The pages over a written-down workshop, for looking at them without running an order:
//! `cargo run -p lathe-web --example sample -- [ADDRESS] [empty|filed|many|TEXT]`.

use std::sync::Arc;

use lathe_web::{Access, AppState, router};

#[path = "../tests/web/sample/mod.rs"]
mod sample;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:7879".to_owned());
    let desk = match arguments.next().as_deref() {
        Some("empty") => sample::SampleDesk::empty(),
        Some("many") => sample::SampleDesk::many(),
        Some("filed") => sample::SampleDesk::filed(),
        Some(text) => sample::SampleDesk::written_over(text),
        None => sample::SampleDesk::new(),
    };
    let state = AppState::with_desk(Arc::new(desk), sample::door(), Access::Loopback);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{}/", listener.local_addr()?);
    axum::serve(listener, router(state)).await
}
